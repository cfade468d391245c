// MathJax for typeset_maths.py: a line of JSON in, {tex, display}; a line out, {html, glyphs} or {error}.
const mathjax = process.argv[2];

require(`${mathjax}/node-main.js`)
  .init({
    loader: {
      paths: { mathjax },
      versionWarnings: false,
      load: ["input/tex-full", "output/svg", "adaptors/liteDOM", "a11y/assistive-mml"],
    },
    // A name that TeX does not know is an error, not red text on the reader's page.
    tex: { packages: { "[-]": ["noundefined", "noerrors"] } },
    svg: { fontCache: "global" },
  })
  .then((MathJax) => {
    const adaptor = MathJax.startup.adaptor;
    const told = new Set();

    const answer = ({ tex, display }) => {
      const html = adaptor.outerHTML(MathJax.tex2svg(tex, { display }));
      const error = /data-mjx-error="([^"]*)"/.exec(html);
      if (error) return { error: error[1] };
      const glyphs = {};
      for (const glyph of adaptor.childNodes(MathJax.startup.output.fontCache.getCache())) {
        const id = adaptor.getAttribute(glyph, "id");
        if (!told.has(id)) glyphs[id] = adaptor.outerHTML(glyph);
        told.add(id);
      }
      return { html, glyphs };
    };

    const lines = require("readline").createInterface({ input: process.stdin });
    lines.on("line", (line) => console.log(JSON.stringify(answer(JSON.parse(line)))));
  });
