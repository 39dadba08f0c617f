// Bundles `src` and the glue in `wasm/` (written by `cargo xtask wasm`) into `dist/`: for browsers the entry, which takes
// calls at once, what it loads behind them, and what is on its own; for Node one file, for tests of apps one more.

import { build } from 'esbuild';
import { copyFile, rm } from 'node:fs/promises';

await rm('dist', { recursive: true, force: true });
const bundle = (options) =>
  build({ bundle: true, minify: true, format: 'esm', target: 'es2022', logLevel: 'warning', outdir: 'dist', ...options });
await bundle({ entryPoints: { index: 'src/index.ts' }, chunkNames: '[name]', splitting: true });
await bundle({ entryPoints: { context: 'src/context.ts' } });
await bundle({ entryPoints: { node: 'src/node/index.ts' }, platform: 'node' });
await bundle({
  entryPoints: { testing: 'src/testing/index.ts' },
  // In a test the world is another one.
  inject: ['src/testing/world.ts'],
  define: { 'globalThis.CompressionStream': 'undefined' },
});
await copyFile('wasm/refrain_wasm_bg.wasm', 'dist/refrain_wasm_bg.wasm');
for (const licence of ['LICENSE-APACHE', 'LICENSE-MIT']) await copyFile('../../' + licence, 'dist/' + licence);
