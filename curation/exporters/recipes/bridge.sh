#!/usr/bin/env bash
# LoRA with Megatron-Bridge, on the prompts of this folder (task: @{task}).
#
# Needs: an H100 GPU, Megatron-Bridge 0.6 with its repository in BRIDGE, and the model in MODEL: a Megatron checkpoint,
#        or the model's folder.
# Run:   BRIDGE=/opt/Megatron-Bridge MODEL=/models/Llama-3.1-8B-Instruct bash bridge.sh [KEY=VALUE …]
set -euo pipefail
: "${BRIDGE:?set BRIDGE to the repository of Megatron-Bridge}"
: "${MODEL:?set MODEL to a Megatron checkpoint, or to the folder of the model}"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
data="$(dirname "$here")/nemo"

# What an earlier run left of other files under these names would be read in the place of these.
find "$data" -type f \( -name '*.idx.*' -o -path '*/packed/*' \) ! -newer "$data/training.jsonl" -delete

exec python -m torch.distributed.run --nproc_per_node="${GPUS:-1}" "$BRIDGE/scripts/training/run_recipe.py" \
  --recipe llama31_8b_peft_1gpu_h100_bf16_config --mode lora --dataset local-jsonl \
  dataset.dataset_root="$data" \
  checkpoint.pretrained_checkpoint="$MODEL" \
  checkpoint.save="${OUTPUT:-$PWD/bridge_lora}" \
  dataset.seq_length=@{seq_length} model.seq_length=@{seq_length} \
  peft.dim=32 peft.alpha=32 \
  train.train_iters=1000 train.global_batch_size=32 train.micro_batch_size=1 \
  optimizer.lr=0.0001 \
  "$@"
