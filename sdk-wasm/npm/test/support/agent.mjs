// A process that does what a test sends it, and says what came of it.

globalThis.window = globalThis;

process.on('message', async ({ id, work, argument }) => {
  try {
    // The text of a function of the test's.
    process.send({ id, value: await (0, eval)(`(${work})`)(argument) });
  } catch (error) {
    process.send({ id, error: error?.message ?? `${error}` });
  }
});
