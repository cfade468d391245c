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

  const shiftInput = figure.inputs.find((input) => input.dataset.name === "shift");
  const stops = JSON.parse(shiftInput.dataset.stops);
  const furthest = Math.max(...stops) + 2;  // the activation's own axis: it holds every shift
  const [area, height] = [[58, 24, 440, 134], 110];
  let grip = null;  // where the drag began, and at which stop

  const moveTo = (stop) => {
    const value = String(Math.max(0, Math.min(stops.length - 1, stop)));
    if (shiftInput.value === value) return;
    shiftInput.value = value;
    shiftInput.dispatchEvent(new Event("input"));
  };
  const heightAt = (event) => {  // in units of the picture
    const box = figure.stage.querySelector("svg").getBoundingClientRect();
    return ((event.clientY - box.top) / box.height) * 440;
  };
  figure.stage.addEventListener("pointerdown", (event) => {
    if (!event.target.closest("[data-grip]")) return;
    event.preventDefault();
    figure.stage.setPointerCapture(event.pointerId);  // the picture is drawn anew at every move
    grip = { from: heightAt(event), stop: Number(shiftInput.value) };
  });
  figure.stage.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const up = ((grip.from - heightAt(event)) / height) * 2 * furthest;
    moveTo(grip.stop + Math.round(up / (stops[1] - stops[0])));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    figure.stage.addEventListener(end, () => { grip = null; });
  }

  const drawBars = (svg, box, title, x, i, reach, hollow) => {
    const plot = axes(svg, {
      x: [-0.6, x.length - 0.4], y: [-reach, reach], box,
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
    const svg = figure.svg(450, 440);
    drawBars(svg, area, "activation (drag it up or down)", x, 4, furthest * scale);
    draw(svg, "rect", {
      x: area[0], y: area[1], width: area[2] - area[0], height,
      "fill-opacity": 0, style: "cursor: ns-resize; touch-action: none", "data-grip": "",
    });
    drawBars(svg, [58, 168, 440, 268], "LayerNorm", layer, 1, 3, before[0]);
    const last = drawBars(svg, [58, 302, 440, 402], "RMSNorm", rms, 0, 3, before[1]);
    x.forEach((_, n) =>
      draw(svg, "text", { x: last.x(n), y: 418, "text-anchor": "middle" }, String(n)));
    draw(svg, "text", { x: 249, y: 435, "text-anchor": "middle" }, "feature");
    return {
      mean: mean(x), size: size(x),
      layer, layer_mean: mean(layer), layer_size: size(layer),
      rms, rms_mean: mean(rms), rms_size: size(rms),
      apart: Math.max(...layer.map((value, n) => Math.abs(value - rms[n]))),
    };
  };
};
