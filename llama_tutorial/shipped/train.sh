#!/usr/bin/env bash
# Makes the models of this folder again: about three hours on two processor cores. Stopped, it goes on
# where it was when it is started again. Usage: bash train.sh runs
set -euo pipefail
runs=${1:?the folder for the runs}
mkdir -p "$runs"

python -m llama_tutorial pretrain --out "$runs/tales-first" --steps 16000 --batch-size 8 --lr 3e-3 \
    --dim 128 --layers 6 --heads 8 --kv-heads 4 --hidden-dim 384 --vocab-size 1024 --context 256 \
    --autocast bfloat16 --evaluate-every 1000 --checkpoint-every 500 | tee -a "$runs/tales-first.log"
# What goes on from it begins with its bfloat16.
[ -d "$runs/tales-bfloat16" ] || python -m llama_tutorial convert "$runs/tales-first/model" \
    "$runs/tales-bfloat16" --dtype bfloat16

# Trained further, on twice as many tales: more of the claims hold.
python -m llama_tutorial pretrain --out "$runs/tales" --model "$runs/tales-bfloat16" --steps 10000 \
    --tales 400000 --seed 1 --batch-size 8 --lr 2e-3 --context 256 \
    --autocast bfloat16 --evaluate-every 1000 --checkpoint-every 250 | tee -a "$runs/tales.log"

# The same pieces, so that one model can draft for the other.
python -m llama_tutorial pretrain --out "$runs/tales-small" --steps 16000 --batch-size 8 --lr 4e-3 \
    --dim 64 --layers 4 --heads 4 --kv-heads 2 --hidden-dim 192 --context 256 \
    --tokenizer "$runs/tales-first/tokenizer.model" \
    --autocast bfloat16 --evaluate-every 1000 --checkpoint-every 500 | tee -a "$runs/tales-small.log"

# Taught to answer, in two parts: the second goes on with other dialogs.
common="--data tales --context 512 --batch-size 4 --epochs 1 --autocast bfloat16 --evaluate-every 250"
python -m llama_tutorial finetune --out "$runs/tales-chat-first" --model "$runs/tales-bfloat16" \
    --dialogs 15000 --lr 2e-3 $common | tee -a "$runs/tales-chat-first.log"
python -m llama_tutorial finetune --out "$runs/tales-chat" --model "$runs/tales-chat-first/model" \
    --dialogs 6000 --seed 1 --lr 1.5e-3 $common | tee -a "$runs/tales-chat.log"
