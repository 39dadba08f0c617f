// Records, objects, and shows that the "no" holds.
//
//     cargo run -p refrain-mock -- serve          # in another terminal
//     cargo xtask wasm && (cd sdk-wasm/npm && npm ci && npm run build)
//     cd examples/node && npm install
//     node quickstart.mjs [http://127.0.0.1:8787]

import { init } from '@refrain/web';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const endpoint = process.argv[2] ?? 'http://127.0.0.1:8787';
const dataDir = await mkdtemp(join(tmpdir(), 'refrain-'));

const client = init('demo-token', { endpoint, dataDir });
await client.ready;

// Nobody has decided yet: the call waits in memory, and nothing is stored or sent.
console.log('before a decision: ', client.track('Opened the shop'));

await client.optIn();
client.identify('ada');
client.register({ plan: 'pro' });
console.log('after a yes:       ', client.track('Bought', { item: 'umbrella', price: 12.5 }));
if (!(await client.flush())) {
  console.error(`nothing arrived at ${endpoint}: is the mock server running?`);
  process.exit(1);
}
console.log('delivered:         ', client.stats().delivered, 'records');

await client.optOut();
const refused = client.track('Bought', { item: 'hat' });
console.log('after a no:        ', refused.rejected, '-', refused.hint);
console.log('all that is left:  ', (await client.audit()).items);

await client.shutdown();
await rm(dataDir, { recursive: true });
