// Parameters and floating-point operations of a GPT by part, in percent.
const setup = (figure) => {
  const { parts } = figure.data;
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

  const count = (D, L, V, T, tied) => {
    const [attention, feedForward] = [L * 4 * D * D, L * 8 * D * D];
    const small = L * (5 * D + 4 * D + 4 * D) + 2 * D;
    return {
      parameters: [V * D, T * D, attention, feedForward, small, 0, tied ? 0 : V * D],
      operations: [0, 0, 2 * attention, 2 * feedForward, 0, 4 * L * T * D, 2 * V * D],
    };
  };

  const bar = (svg, y, share, i) => {
    const width = 2.4 * share;
    draw(svg, "rect", { x: 150, y, width, height: 13, fill: color(i) });
    draw(svg, "text", { x: 155 + width, y: y + 12 }, share.toFixed(1));
  };

  const legend = (svg, x, text, i) => {
    draw(svg, "rect", { x, y: 5, width: 13, height: 13, fill: color(i) });
    draw(svg, "text", { x: x + 20, y: 16 }, text);
  };

  // Where the context stands, on a scale of powers of two, and where the scores overtake.
  const strip = (svg, context, crossing) => {
    const y = 362;
    const at = (T) => 30 + (390 * Math.log2(T / 128)) / 8;
    draw(svg, "line", { x1: at(128), x2: at(32768), y1: y, y2: y, class: "lt-axis" });
    for (const T of [128, 512, 2048, 8192, 32768]) {
      draw(svg, "line", { x1: at(T), x2: at(T), y1: y, y2: y + 5, class: "lt-axis" });
      draw(svg, "text", { x: at(T), y: y + 19, "text-anchor": "middle" }, T);
    }
    const line = { x1: at(crossing), x2: at(crossing), y1: y - 9, y2: y + 5 };
    draw(svg, "line", { ...line, stroke: color(1), "stroke-width": 3 });
    const label = `T = 6D = ${crossing.toLocaleString("en-US")}`;
    const end = at(crossing) > 300 ? "end" : "middle";
    draw(svg, "text", { x: Math.max(at(crossing), 60), y: y - 14, "text-anchor": end }, label);
    const dot = draw(svg, "circle", { cx: at(context), cy: y, r: 8, fill: color(0) });
    figure.drag(dot, (x) => ({ context: 128 * 2 ** (((x - 30) * 8) / 390) }));
    draw(svg, "text", { x: 225, y: y + 38, "text-anchor": "middle" }, "context T");
  };

  return ({ dim, layers, vocab, context, tied }) => {
    const counts = count(dim, layers, vocab, context, tied);
    const [total, flops] = [sum(counts.parameters), sum(counts.operations)];
    const parameters = counts.parameters.map((part) => (100 * part) / total);
    const operations = counts.operations.map((part) => (100 * part) / flops);
    const svg = figure.svg(450, 405);
    legend(svg, 95, "% of parameters", 0);
    legend(svg, 255, "% of operations", 1);
    draw(svg, "line", { x1: 150, x2: 150, y1: 28, y2: 322, class: "lt-axis" });
    parts.forEach((part, i) => {
      const y = 34 + 42 * i;
      draw(svg, "text", { x: 148, y: y + 18, "text-anchor": "end" }, part);
      bar(svg, y, parameters[i], 0);
      bar(svg, y + 15, operations[i], 1);
    });
    strip(svg, context, 6 * dim);
    return {
      crossing: 6 * dim, total: total.toLocaleString("en-US"), gflops: flops / 1e9, ratio: flops / (2 * total),
      parameters, operations,
    };
  };
};
