import random, collections, re, sys
from llama_tutorial.tales.story import Story
from llama_tutorial.tales.plots import PLOTS
from llama_tutorial.tales.words import GENDER
words=collections.Counter()
for s in range(int(sys.argv[1])):
    t=Story(random.Random(s))
    try: t.pick(PLOTS)(t)
    except LookupError: continue
    words.update(re.findall(r"[a-z]+",re.sub(r"'s\b",""," ".join(t.sentences)).lower()))
names={n.lower() for n in GENDER}
print(len(words), "without names", len(set(words)-names))
print(" ".join(f"{w}{c}" for w,c in sorted(words.items(),key=lambda x:x[1]) if c<int(sys.argv[2])))
