"""Fields of a Service that mean nothing to a proxy, and those that are left out."""

from typing import Any

import pytest

from pointsman.conformance.answers import KEPT, MASQUERADED, forwarded
from pointsman.conformance.objects import service
from pointsman.conformance.scene import OUTSIDE, POD
from pointsman.conformance.world import World

BOTH = ("pod-a", "remote-a")


@pytest.mark.semantics("IN-SVC-09", "IN-SVC-03", "MTX-01")
def test_policies_that_are_not_set_are_cluster(world: World) -> None:
    """Of either kind; and no affinity is none. A family that is not set is that of the address."""
    vip, outer = world.scene.cluster_ip(), world.scene.external_ip()
    web = service("web", vip, externalIPs=[outer])
    for left_out in ("internalTrafficPolicy", "externalTrafficPolicy", "sessionAffinity"):
        web["spec"].pop(left_out, None)
    for newer in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        del web["spec"][newer]
    world.apply(web, world.slice("web", *BOTH))
    assert world.answers(POD, vip, 80) == forwarded(*BOTH, source=KEPT)
    assert world.answers(OUTSIDE, outer, 80) == forwarded(*BOTH, source=MASQUERADED)


@pytest.mark.semantics("IN-SVC-12", "SEL-08", "E2E-14")
@pytest.mark.parametrize(
    "spec",
    [
        {"selector": {"app": "nothing-has-it"}},
        {"loadBalancerClass": "example.com/other"},
        {"trafficDistribution": "PreferSameNode"},
        {"publishNotReadyAddresses": True},
        {"allocateLoadBalancerNodePorts": False},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_fields_that_are_for_others_change_nothing(world: World, spec: dict[str, Any]) -> None:
    """Controllers have read them, and said what comes of it in slices and status."""
    vip, lb = world.scene.cluster_ip(), world.scene.load_balancer_ip()
    web = service("web", vip, type="LoadBalancer", ingress=[{"ip": lb}])
    unready = world.endpoint("pod-b", ready=False, serving=True)
    world.apply({**web, "spec": {**web["spec"], **spec}}, world.slice("web", *BOTH, unready))
    assert world.answers(POD, vip, 80) == forwarded(*BOTH, source=KEPT)
    assert world.answers(OUTSIDE, lb, 80) == forwarded(*BOTH, source=MASQUERADED)


@pytest.mark.semantics("IN-SVC-12", "IN-SVC-06")
def test_the_address_that_is_wished_for_is_not_yet_one(world: World) -> None:
    """Nor are its source ranges those of an annotation, nor a target port the endpoints' own."""
    wished, given = world.scene.load_balancer_ip(0), world.scene.load_balancer_ip(1)
    nobody = {"annotations": {"service.beta.kubernetes.io/load-balancer-source-ranges": "192.0.2.0/32"}}
    web = service(
        "web", world.scene.cluster_ip(), type="LoadBalancer", ingress=[{"ip": given}], metadata=nobody
    )
    [first] = web["spec"]["ports"]
    spec = {
        **web["spec"],
        "loadBalancerIP": wished,
        "ports": [{**first, "targetPort": 9090, "appProtocol": "h2c"}],
    }
    world.apply({**web, "spec": spec}, world.slice("web", *BOTH))
    assert world.answers(OUTSIDE, given, 80) == forwarded(*BOTH, source=MASQUERADED)
    assert not [one for one in world.answers(OUTSIDE, wished, 80) if hasattr(one, "server")]
