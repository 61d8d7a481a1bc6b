"""A run on paper: how long it takes with these pools, and what it waits for."""

import pytest

from banger.graph.build import Graph, build_graph
from banger.graph.paths import binding_path
from banger.graph.predict import predict
from banger.model.action import Action, Flavour, Needs, Node


def _graph(*nodes: tuple[str, tuple[str, ...], str]) -> Graph:
    return build_graph(
        Node(
            name, Action("toy", 1, Flavour.BUILD, {"name": name}, Needs(pools=((pool, 1),) if pool else ())), {}, after
        )
        for name, after, pool in nodes
    )


def test_what_can_run_at_once_does() -> None:
    graph = _graph(("a", (), ""), ("b", (), ""), ("c", ("a", "b"), ""))
    told = predict(graph, {}, {"a": 3.0, "b": 2.0, "c": 1.0}, hits=())
    assert told.seconds == 4.0
    assert list(binding_path(told.ends, told.bound_by)) == ["a", "c"]


def test_a_pool_that_is_full_makes_the_run_longer_and_is_what_it_waits_for() -> None:
    graph = _graph(("a", (), "disk"), ("b", (), "disk"), ("c", ("a", "b"), ""))
    told = predict(graph, {"disk": 1}, {"a": 3.0, "b": 2.0, "c": 1.0}, hits=())
    assert told.seconds == 6.0
    assert list(binding_path(told.ends, told.bound_by)) == ["a", "b", "c"]


def test_hits_take_no_time_and_no_pool() -> None:
    graph = _graph(("a", (), "disk"), ("b", (), "disk"), ("c", ("a", "b"), ""))
    told = predict(graph, {"disk": 1}, {"b": 2.0, "c": 1.0}, hits={"a"})
    assert told.seconds == 3.0
    assert told.starts["a"] == told.ends["a"] == 0.0


def test_a_release_at_the_end_of_a_run_is_counted() -> None:
    effect = Node("net", Action("toy.effect", 1, Flavour.EFFECT, {}))
    graph = build_graph([effect, Node("use", Action("toy", 1, Flavour.GATE, {}), {}, ("net",))])
    told = predict(graph, {}, {"net": 1.0, "use": 1.0, "release:net": 0.5}, hits=())
    assert told.seconds == pytest.approx(2.5)
