// One activation, shifted and scaled; what LayerNorm and RMSNorm make of it. The activation's bars can
// be dragged up and down, all at once, which moves the slider of the shift.
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

  const furthest = 6;  // the activation's own axis: it holds every shift, so that bars follow the pointer
  const drawBars = (svg, box, title, x, i, reach, hollow) => {
    const plot = axes(svg, {
      x: [-0.6, x.length - 0.4], y: [-reach, reach], box,
      xTicks: [], yTicks: [-reach, 0, reach], yLabel: title,
    });
    const bar = (value, n, width, look) => {
      const [a, b] = [plot.y(Math.max(value, 0)), plot.y(Math.min(value, 0))];
      draw(svg, "rect", { x: plot.x(n) - width / 2, y: a, width, height: b - a, ...look });
    };
    x.forEach((value, n) => bar(value, n, 18, { fill: color(i) }));
    hollow?.forEach((value, n) => bar(value, n, 29, { fill: "none", class: "lt-axis" }));
    return plot;
  };

  return ({ shift, scale, eps }) => {
    const x = activation.map((value) => (value + shift) * scale);
    const [layer, rms] = [layerNorm(x, eps), rmsNorm(x, eps)];
    const svg = figure.svg(364, 440);
    const box = [50, 24, 356, 134];
    const plot = drawBars(svg, box, "activation (drag a bar up or down)", x, 4, furthest * scale);
    const width = plot.x(1) - plot.x(0);
    activation.forEach((value, n) => {  // the bar that was grasped ends where the pointer is
      const handle = draw(svg, "rect", {
        x: plot.x(n) - width / 2, y: box[1], width, height: box[3] - box[1], "fill-opacity": 0,
      });
      figure.drag(handle, (across, down) => ({ shift: plot.at(across, down)[1] / scale - value }));
    });
    drawBars(svg, [50, 168, 356, 268], "LayerNorm", layer, 1, 3, before[0]);
    const last = drawBars(svg, [50, 302, 356, 402], "RMSNorm", rms, 0, 3, before[1]);
    x.forEach((_, n) =>
      draw(svg, "text", { x: last.x(n), y: 418, "text-anchor": "middle" }, String(n)));
    draw(svg, "text", { x: 203, y: 435, "text-anchor": "middle" }, "feature");
    return {
      mean: mean(x), size: size(x),
      layer, layer_mean: mean(layer), layer_size: size(layer),
      rms, rms_mean: mean(rms), rms_size: size(rms),
      apart: Math.max(...layer.map((value, n) => Math.abs(value - rms[n]))),
    };
  };
};
