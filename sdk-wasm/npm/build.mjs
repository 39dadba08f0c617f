// Bundles `src` and the glue in `wasm/` (written by `cargo xtask wasm`) into `dist/`: the entry, which takes calls at
// once, and what it loads behind them.

import { build } from 'esbuild';
import { copyFile, rm } from 'node:fs/promises';

await rm('dist', { recursive: true, force: true });
await build({
  entryPoints: { index: 'src/index.ts' },
  outdir: 'dist',
  chunkNames: '[name]',
  bundle: true,
  splitting: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  logLevel: 'warning',
});
await copyFile('wasm/refrain_wasm_bg.wasm', 'dist/refrain_wasm_bg.wasm');
