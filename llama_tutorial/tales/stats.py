"""dev: usage of patterns"""
import random, collections, sys, time, re
from llama_tutorial.tales.story import Story
from llama_tutorial.tales.plots import PLOTS
from llama_tutorial.tales.patterns import event_kinds
n=int(sys.argv[1])
use=collections.Counter(); words=collections.Counter(); lens=[]; sents=[]; err=0; per=collections.Counter(); opens=collections.Counter(); tri=collections.Counter()
t0=time.time()
from llama_tutorial.tales.reading import split_units
for s in range(n):
    t=Story(random.Random(s)); plot=t.pick(PLOTS)
    try: plot(t)
    except LookupError: err+=1; continue
    text=" ".join(t.sentences)
    use.update(t.patterns)
    w=re.findall(r"[A-Za-z']+",text); words.update(x if x[0].isupper() and x.lower() not in words else x.lower() for x in w)
    lens.append(len(w)); per[plot.__name__]+=len(w)
    sents.append(len(split_units(text)))
    for x in t.sentences: opens[" ".join(x.split()[:2])]+=1
    for a in zip(w,w[1:],w[2:],w[3:],w[4:],w[5:]): tri[" ".join(a)]+=1
print("time",time.time()-t0)
lens.sort(); sents.sort()
N=len(lens)
print("err",err,"words/tale", [lens[int(N*q)] for q in (0,.01,.05,.25,.5,.75,.95,.99)],lens[-1],"sent",[sents[int(N*q)] for q in (0,.05,.25,.5,.75,.95,.99)],sents[-1])
low=collections.Counter()
for k,v in words.items(): low[k.lower()]+=v
print("vocab",len(low), "rare<5:",sum(v<5 for v in low.values()))
print(sorted(low)) if len(sys.argv)>2 else 0
unused=[(e.name,p.text) for e in event_kinds().values() for p in e.patterns if not use[p.text]]
print("unused",len(unused)); 
for u in unused: print("  ",u)
print(opens.most_common(25))
print([ (k,round(v/N,3)) for k,v in use.most_common(25)])
print([ (k,round(v/N,3)) for k,v in tri.most_common(40)])
