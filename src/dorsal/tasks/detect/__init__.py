"""Object detection: the parts of Faster R-CNN with a feature pyramid, on sets of fixed size."""
