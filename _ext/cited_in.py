"""Says below each work of the bibliography which chapters cite it, with a link to each."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.util.nodes import make_refnode


def pages_by_work(env: Any) -> dict[str, list[str]]:
    """Keys of the works to the pages that cite them, in the book's order."""
    order = [env.config.root_doc, *env.toctree_includes.get(env.config.root_doc, ())]
    cited: dict[str, set[str]] = {}
    for reference in env.get_domain("cite").citation_refs:
        for key in reference.targets:
            cited.setdefault(key.key, set()).add(reference.docname)
    place = {name: i for i, name in enumerate(order)}
    return {
        key: sorted(names, key=lambda name: (place.get(name, len(place)), name))
        for key, names in cited.items()
    }


def add_back_links(app: Any, doctree: nodes.document, page: str) -> None:
    """Ends each entry of a bibliography with the chapters that cite it."""
    env = app.env
    citations = [c for c in env.get_domain("cite").citations if c.bibliography_key.docname == page]
    if not citations:
        return
    pages = pages_by_work(env)
    keys = {citation.citation_id: citation.key for citation in citations}
    for entry in doctree.findall(nodes.citation):
        key = next((keys[name] for name in entry["ids"] if name in keys), None)
        citing = [name for name in pages.get(str(key), ()) if name != page]
        if not citing:
            continue
        line = nodes.inline(classes=["cited-in"])
        line += nodes.Text(" Cited in ")
        for i, name in enumerate(citing):
            if i:
                line += nodes.Text(", ")
            title = nodes.Text(env.titles[name].astext())
            line += make_refnode(app.builder, page, name, "", title)
        line += nodes.Text(".")
        entry[-1] += line


def setup(app: Any) -> dict[str, Any]:
    """Registers the extension with Sphinx."""
    app.connect("doctree-resolved", add_back_links, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
