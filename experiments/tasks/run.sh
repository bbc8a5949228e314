#!/bin/sh
# The study of tasks: sh run.sh CIFAR PENNFUDAN CAMVID OUT
#
# CIFAR is a folder of class folders of CIFAR-10 images with train and val (prepare.py), PENNFUDAN the pedestrians with
# masks in COCO's format, CAMVID the street scenes as pairs of images and label images. Stopped, the same command goes on.
set -e
cifar=$1 pennfudan=$2 camvid=$3 out=$4
dorsal=${DORSAL:-dorsal}

compare() { # NAME TASK RECIPE DATA
    $dorsal compare \
        'resnet=resnet_small' 'seresnet=seresnet_small' \
        'res2net=res2net_small' 'res2netplus=res2netplus_small' \
        'resnest=resnest_small' 'resnest4=resnest_small(mixer=split_attention(radix=4))' \
        'regnetx=regnetx_small' 'regnety=regnety_small' \
        --match macs --task "$2" --recipe "$3" --seeds 2 --data "$4" --no-gallery --no-keep-models \
        --name "tasks_$1" --out "$out/$1"
}

compare instance instance "${INSTANCE:-dense(epochs=12, batch=4)}" "coco:$pennfudan(size=192)"
compare semantic semantic "${SEMANTIC:-dense(epochs=5, batch=8, lr=0.002)}" "pairs:$camvid(size=192, names=camvid, ignore=11)"
compare classify classify "${CLASSIFY:-plain(epochs=4)}" "$cifar(size=64)"
