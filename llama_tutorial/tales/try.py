import random, sys, collections, time
from llama_tutorial.tales.story import Story
from llama_tutorial.tales.reading import Reader, split_units
import importlib
def plots():
    try:
        from llama_tutorial.tales.plots import PLOTS
        return PLOTS
    except ImportError:
        return []
def main(first, n, show, only=""):
    P=[p for p in plots() if not only or p.__name__==only]
    errs=collections.Counter(); nsent=npar=ncl=nh=0; badn=0; mism=0
    for s in range(first,first+n):
        t=Story(random.Random(s)); plot=t.pick(P)
        try: plot(t)
        except LookupError as e:
            errs[plot.__name__+": "+str(e)[:230]]+=1; 
            if show: print(s,"ERR",e)
            continue
        text=" ".join(t.sentences)
        if show: print(s, plot.__name__, len(text.split())); print(text); print()
        r=Reader().read(text)
        nsent+=r.sentences; npar+=r.parsed; ncl+=len(r.claims); nh+=sum(c.holds for c in r.claims)
        bad=[c for c in r.claims if not c.holds]
        if (bad or r.parsed!=r.sentences) and badn<6:
            badn+=1
            print("  !!", s, plot.__name__, bad, r.parsed, r.sentences)
            if r.parsed!=r.sentences:
                for u in split_units(text):
                    rr=Reader(); 
                    rr.read(u.text)
                    if rr.parsed!=rr.sentences: print("    unread:", u)
        if [ (e.kind,e.roles) for e in r.events]!=[(e.kind,e.roles) for e in t.events] or r.world.facts!=t.world.facts or r.world.things!=t.world.things or r.world.beings!=t.world.beings:
            mism+=1
            if mism<4:
                print("  ## mismatch", s, plot.__name__)
                for a,b in zip(t.events,r.events):
                    if (a.kind,a.roles)!=(b.kind,b.roles): print("   ",a,b,t.sentences[a.sentence]); break
                print("   ", set(map(str,t.world.facts.items()))^set(map(str,r.world.facts.items())), t.world.things==r.world.things or (t.world.things,r.world.things), t.world.beings==r.world.beings or (t.world.beings,r.world.beings))
    print("sent",nsent,"parsed",npar,"claims",ncl,"hold",nh,"mismatch",mism,"errors",sum(errs.values()))
    for k,v in errs.most_common(12): print(v,k)
if __name__=="__main__":
    a=sys.argv; main(int(a[1]),int(a[2]),int(a[3]),a[4] if len(a)>4 else "")
