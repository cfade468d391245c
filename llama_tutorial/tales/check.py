"""dev: list compile problems"""
from llama_tutorial.tales.patterns import event_kinds
from llama_tutorial.tales.index import pattern_items,_without_sound,clause_index
import collections
bad=set()
for e in event_kinds().values():
    if not e.patterns: print("no patterns",e.name)
    for p in e.patterns:
        for v in p.variants:
            try: pattern_items(_without_sound(v))
            except ValueError as x:
                if p.text not in bad: print(e.name,"|",p.text,"|",str(x)[-60:])
                bad.add(p.text)
if not bad:
    amb=collections.Counter()
    for k,c in clause_index().items():
        kinds={x.pattern.event.name for x in c}
        if len(kinds)>1: amb[k,tuple(sorted(kinds))]+=1
    for a in amb: print("ambiguous",a)
    print(len(event_kinds()),"kinds",sum(len(e.patterns) for e in event_kinds().values()),"patterns",len(clause_index()),"keys")
