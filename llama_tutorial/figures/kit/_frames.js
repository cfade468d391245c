// Shows one of the pictures that Python has drawn, and the numbers that Python has computed.
const setup = (figure) => () => {
  const position = figure.inputs[0].value;
  figure.stage.innerHTML = figure.data.frames[position];
  return figure.data.numbers[position];
};
