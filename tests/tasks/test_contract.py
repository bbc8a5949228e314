"""The contract of tasks, for every task and every kind of head. Detectors say whatever they think, as those that have
learnt little are sure of nothing."""

from tests.contracts.task import TaskContract


class TestPyramidOfSegmenter(TaskContract):
    text = "semantic(channels=16)"


class TestDeepLabWithAuxiliaryHead(TaskContract):
    text = "semantic(head=deeplabv3+, channels=16, auxiliary=true)"
    takes_timm = False


class TestFaster(TaskContract):
    text = "detect(channels=16, hidden=32, least_score=0)"


class TestConvolutionalBoxHead(TaskContract):
    text = "detect(box_head=conv, channels=16, hidden=32, least_score=0)"


class TestCascade(TaskContract):
    text = "cascade(channels=16, hidden=32, least_score=0)"


class TestInstance(TaskContract):
    text = "instance(channels=16, hidden=32, least_score=0)"
