// What measuring costs by itself.
export const start = () => {};
export const track = () => {};
