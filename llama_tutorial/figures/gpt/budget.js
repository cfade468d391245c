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

  return ({ dim, layers, vocab, context, tied }) => {
    const counts = count(dim, layers, vocab, context, tied);
    const [total, flops] = [sum(counts.parameters), sum(counts.operations)];
    const parameters = counts.parameters.map((part) => (100 * part) / total);
    const operations = counts.operations.map((part) => (100 * part) / flops);
    const svg = figure.svg(450, 330);
    legend(svg, 95, "% of parameters", 0);
    legend(svg, 255, "% of operations", 1);
    draw(svg, "line", { x1: 150, x2: 150, y1: 28, y2: 322, class: "lt-axis" });
    parts.forEach((part, i) => {
      const y = 34 + 42 * i;
      draw(svg, "text", { x: 142, y: y + 18, "text-anchor": "end" }, part);
      bar(svg, y, parameters[i], 0);
      bar(svg, y + 15, operations[i], 1);
    });
    return {
      total: total.toLocaleString("en-US"), gflops: flops / 1e9, ratio: flops / (2 * total),
      parameters, operations,
    };
  };
};
