#!/bin/sh
# The study of starts: sh run.sh IMAGES RESNET20 OUT
#
# IMAGES is the folder that prepare.py wrote, RESNET20 the model of the published CIFAR ResNet-20, as
# `dorsal weights convert resnet20-12fca82f.th --out RESNET20` makes it. Stopped, the same command goes on.
set -e
images=$1 resnet20=$2 out=$3
dorsal=${DORSAL:-dorsal}

resnet='small'
res2net='small(widths=[64, 128, 224], mixer=multi_scale(width=26))'
resnest='small(widths=[48, 96, 176], mixer=split_attention, shortcut=average_pool, downsample=pool_after)'
regnet_se='small(widths=[32, 80, 176], mixer=conv(group_width=8), attention=squeeze_excite(ratio=0.25, reference=input, position=after_mixer), expansion=1)'

start() { # NAME NETWORK: learnt from the first five classes
    [ -e "$out/starts/$1/model.safetensors" ] || $dorsal train "$2" --data "$images/first(size=32)" \
        --recipe 'plain(epochs=30)' --threads 1 --out "$out/starts/$1"
}

forms() { # IMAGES EPOCHS SEEDS: the four forms from scratch, and from their starts
    $dorsal compare \
        "resnet=$resnet" "res2net=$res2net" "resnest=$resnest" "regnet_se=$regnet_se" \
        "resnet-tuned=$resnet@$out/starts/resnet with finetune(epochs=$2, lr=0.0016, crop=pad)" \
        "res2net-tuned=$res2net@$out/starts/res2net with finetune(epochs=$2, lr=0.0016, crop=pad)" \
        "resnest-tuned=$resnest@$out/starts/resnest with finetune(epochs=$2, lr=0.0016, crop=pad)" \
        "regnet_se-tuned=$regnet_se@$out/starts/regnet_se with finetune(epochs=$2, lr=0.0016, crop=pad)" \
        "resnet-probed=$resnet@$out/starts/resnet with probe" \
        "res2net-probed=$res2net@$out/starts/res2net with probe" \
        "resnest-probed=$resnest@$out/starts/resnest with probe" \
        "regnet_se-probed=$regnet_se@$out/starts/regnet_se with probe" \
        --recipe "plain(epochs=$2, lr=0.006)" --seeds "$3" --data "$images/other$1(size=32)" --no-keep-models \
        --name "starts_other$1" --out "$out/other$1"
}

published() { # NAME DATA EPOCHS SEEDS: the published ResNet-20 on images that it never saw
    $dorsal compare resnet20 \
        "resnet20-tuned=resnet20@$resnet20 with finetune(epochs=$3, lr=0.0016, crop=pad)" \
        "resnet20-probed=resnet20@$resnet20 with probe" \
        --recipe "plain(epochs=$3, lr=0.006)" --seeds "$4" --data "$2" --no-keep-models --name "starts_$1" --out "$out/$1"
}

start resnet "$resnet"
start res2net "$res2net"
start resnest "$resnest"
start regnet_se "$regnet_se"
forms 200 100 3
forms 1000 40 3
forms 5000 20 3
published cells60 "$images/cells60(size=32)" 100 3
published cells150 "$images/cells150(size=32)" 60 3
published cells600 "$images/cells600(size=32)" 30 3
published scenes200 'scenes(train=200, val=1000)' 100 3
published scenes1000 'scenes(train=1000, val=1000)' 40 3
published scenes3000 'scenes(val=1000)' 20 3
