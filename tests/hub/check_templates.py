"""Templates of docs/scaling.md: they are YAML, and agree with the program and with one another.

    check_templates.py TOKENWORKS DATA

Reads YAML by the program's own words where there is no library for it.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "http"))
from server import Server, run_cases  # noqa: E402

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "templates"


def documents(name):
    try:
        import yaml
    except ImportError:
        return None
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def the_hubs_file_is_one(program, _data):
    out = subprocess.run([program, "serve", "--config", FOLDER / "serve-scaled.yaml", "--check"],
                         capture_output=True, text=True, timeout=60)
    assert out.returncode == 0 and "3 backends" in out.stdout, out


def metrics_of_the_query_are_there(program, data):
    query = re.search(r"query: (.*)", (FOLDER / "vllm-kubernetes.yaml").read_text())[1]
    names = set(re.findall(r"tokenworks_\w+", query))
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "serve.yaml")
        config.write_text('backends: [{name: vllm, urls: ["http://127.0.0.1:9"], '
                          'models: [{name: far, ctx: 512}]}]', encoding="ascii")
        with Server(program, "--config", config, "--model",
                    Path(data, "tokenworks-demo.gguf")) as server:
            text = server.get("/metrics").body.decode()
    assert len(names) == 2
    for name in names:
        label, = re.findall(name + r'\{backend="([^"]*)"\}', text)
        assert re.fullmatch("vllm@.*", label), label


def ports_paths_and_names_agree(_program, _data):
    hub = (FOLDER / "serve-scaled.yaml").read_text()
    for name in ("vllm-kubernetes.yaml", "vllm-ray.yaml"):
        text = (FOLDER / name).read_text()
        assert set(re.findall(r"path: (/\w+), port: (\d+)", text)) == {("/health", "8000")}, name
        assert re.search(r"containerPort: 8000", text) and "8000" in text
        served = re.search(r"--served-model-name,? (\w+)", text)[1]
        assert f"name: {served}," in hub, served
    for url in re.findall(r'url: "[a-z+]*http://([^"]+svc\.cluster\.local):8000"', hub):
        service, namespace = url.split(".")[:2]
        text = "".join(p.read_text() for p in FOLDER.glob("vllm*.yaml"))
        assert f"name: {service.removesuffix('-head-svc')}, namespace: {namespace}" in text, url


def kubernetes_would_find_what_it_needs(_program, _data):
    found = {name: documents(name) for name in ("vllm-kubernetes.yaml", "vllm-ray.yaml")}
    if None in found.values():
        print("# no library for YAML")
        return
    service, deployment, scaled = found["vllm-kubernetes.yaml"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels == \
        deployment["spec"]["selector"]["matchLabels"]
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    for document in (*found["vllm-kubernetes.yaml"], *found["vllm-ray.yaml"]):
        assert {"apiVersion", "kind", "metadata", "spec"} <= set(document), document


CASES = [the_hubs_file_is_one, metrics_of_the_query_are_there, ports_paths_and_names_agree,
         kubernetes_would_find_what_it_needs]

if __name__ == "__main__":
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, *sys.argv[1:]))
