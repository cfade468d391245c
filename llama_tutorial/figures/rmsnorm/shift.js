// One activation, shifted and scaled; what LayerNorm and RMSNorm make of it.
const setup = (figure) => {
  const { activation } = figure.data;
  const mean = (x) => x.reduce((total, value) => total + value, 0) / x.length;
  const size = (x) => Math.sqrt(mean(x.map((value) => value * value)));
  const rmsNorm = (x, eps) => {
    const root = Math.sqrt(mean(x.map((value) => value * value)) + eps);
    return x.map((value) => value / root);
  };
  const layerNorm = (x, eps) => {
    const middle = mean(x);
    return rmsNorm(x.map((value) => value - middle), eps);
  };
  const before = [layerNorm(activation, 0), rmsNorm(activation, 0)];

  const drawBars = (svg, top, title, x, i, reach, hollow) => {
    const plot = axes(svg, {
      x: [-0.6, x.length - 0.4], y: [-reach, reach], box: [58, top, 440, top + 100],
      xTicks: [], yTicks: [-reach, 0, reach], yLabel: title,
    });
    const bar = (value, n, width, look) => {
      const [a, b] = [plot.y(Math.max(value, 0)), plot.y(Math.min(value, 0))];
      draw(svg, "rect", { x: plot.x(n) - width / 2, y: a, width, height: b - a, ...look });
    };
    x.forEach((value, n) => bar(value, n, 22, { fill: color(i) }));
    hollow?.forEach((value, n) => bar(value, n, 36, { fill: "none", class: "lt-axis" }));
    return plot;
  };

  return ({ shift, scale, eps }) => {
    const x = activation.map((value) => (value + shift) * scale);
    const [layer, rms] = [layerNorm(x, eps), rmsNorm(x, eps)];
    const largest = Math.max(...x.map(Math.abs));
    const svg = figure.svg(450, 430);
    drawBars(svg, 24, "activation", x, 4, Number((1.1 * largest).toPrecision(2)));
    drawBars(svg, 160, "LayerNorm", layer, 1, 3, before[0]);
    const last = drawBars(svg, 296, "RMSNorm", rms, 0, 3, before[1]);
    x.forEach((_, n) =>
      draw(svg, "text", { x: last.x(n), y: 412, "text-anchor": "middle" }, String(n)));
    draw(svg, "text", { x: 249, y: 427, "text-anchor": "middle" }, "feature");
    return {
      mean: mean(x), size: size(x),
      layer, layer_mean: mean(layer), layer_size: size(layer),
      rms, rms_mean: mean(rms), rms_size: size(rms),
      apart: Math.max(...layer.map((value, n) => Math.abs(value - rms[n]))),
    };
  };
};
