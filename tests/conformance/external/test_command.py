from pathlib import Path

import pytest

from pointsman.conformance.external import BadCommand, TargetCommand

VALUES = {"kubeconfig": "/k", "node": "node", "cluster_cidrs": "10.244.0.0/16", "folder": "/f"}


def test_places_are_filled_and_words_kept(tmp_path: Path) -> None:
    command = TargetCommand.parse(
        "/usr/bin/kube-proxy --kubeconfig={kubeconfig} 'a b' --hostname-override {node}"
    )
    assert command.name == "kube-proxy"
    assert command.filled(VALUES, tmp_path) == [
        *("/usr/bin/kube-proxy", "--kubeconfig=/k", "a b", "--hostname-override", "node"),
    ]


def test_files_are_filled_too(tmp_path: Path) -> None:
    template = tmp_path / "proxy.yaml"
    template.write_text("kubeconfig: {kubeconfig}\nflow: {a: 1}\nname: {unknown}\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    words = TargetCommand.parse(f"proxy --config {{config:{template}}}").filled(VALUES, folder)
    assert words == ["proxy", "--config", str(folder / "proxy.yaml")]
    assert (folder / "proxy.yaml").read_text() == "kubeconfig: /k\nflow: {a: 1}\nname: {unknown}\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "name a program"),
        ("kube-proxy --config /etc/config", "name a program and give it {kubeconfig}"),
        ("kube-proxy {kubeconfig} {server}", "there is no {server}; known are {kubeconfig}, "),
        ("kube-proxy '{kubeconfig}", "No closing quotation"),
        ("kube-proxy {config:/nonesuch}", "/nonesuch can't be read"),
    ],
)
def test_a_command_that_can_not_work_is_refused_at_once(text: str, complaint: str) -> None:
    with pytest.raises(BadCommand, match=complaint.replace("{", r"\{")):
        TargetCommand.parse(text)
