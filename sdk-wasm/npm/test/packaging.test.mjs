// What is published: the package as a stranger's project has it.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { startServer } from '../../../tests/e2e/node/mock-server.mjs';
import { nobody } from './support/nobody.mjs';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const TSC = join(PACKAGE, 'node_modules/typescript/bin/tsc');

/** A project with the package in it, and nothing else. */
let project;
before(async () => {
  project = await mkdtemp(join(tmpdir(), 'refrain-project-'));
  const place = join(project, 'node_modules/@refrain/web');
  await mkdir(place, { recursive: true });
  const [{ filename }] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', project], PACKAGE));
  run('tar', ['-xzf', join(project, filename), '--strip-components=1', '-C', place]);
  await writeFile(join(project, 'package.json'), '{"type":"module"}');
});
after(() => rm(project, { recursive: true, force: true }));

const run = (program, args, cwd = project) => {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${error ?? stdout + stderr}`);
  return stdout;
};

const TYPED = `
import { init, type Consent, type ConsentError, type OptOut, type Options, type Refrain, type Result } from '@refrain/web';
import { pageContext } from '@refrain/web/context';
import { testPage, type SentEvent, type TestPage } from '@refrain/web/testing';
const page: TestPage = testPage({ gpc: true });
const sent: Promise<SentEvent> = page.expectEvent('Signed up', { plan: 'pro' });
const inPage: Refrain = page.init('T');
const options: Options = { endpoint: 'https://collector.example', defaultConsent: 'pending', dataDir: 'data' };
const r: Refrain = init('T', options);
const result: Result = r.track('Signed up', { plan: 'pro' });
if (typeof result == 'object') result.hint.length;
r.registerForSession(pageContext());
const consent: Consent = r.consent();
const perhaps = undefined as boolean | undefined;
const names: readonly string[] = ['a'];
init('T', { denyList: names }).profile().union({ names });
testPage({ dnt: perhaps }).answerNext({ status: 429, body: undefined });
r.profile().unset(names);
const wishes: OptOut = { erase: perhaps };
r.optOut(wishes).catch((error: ConsentError) => error.code == 'not_recorded');
init('T', { personalData: 'redact', personalDataAllow: names });
// @ts-expect-error: a name is a text
r.track(7);
// @ts-expect-error: there is no such word
init('T', { defaultConsent: 'yes' });
// @ts-expect-error: a result is no number
const wrong: number = r.track('E');
export { consent, inPage, sent, wrong };
`;

const NODE_TYPES = join(PACKAGE, 'node_modules/@types');
for (const [where, options] of [
  ['modules as in nodenext', ['--types', '', '--module', 'nodenext']],
  ['modules as in esnext', ['--types', '', '--module', 'esnext', '--moduleResolution', 'bundler']],
  ['the types of Node alone', ['--typeRoots', NODE_TYPES, '--types', 'node', '--lib', 'es2022', '--module', 'nodenext']],
]) {
  test(`its types are whole, with ${where}`, async () => {
    await writeFile(join(project, 'typed.ts'), TYPED);
    run(process.execPath, [TSC, '--noEmit', '--strict', '--exactOptionalPropertyTypes', '--target', 'es2022', ...options, 'typed.ts']);
  });
}

/** The package's files that a bundler for browsers takes for a page. */
const bundled = async (where = project) => {
  await writeFile(join(where, 'shop.js'), "import { init } from '@refrain/web'; init('T').track('E');");
  const { metafile } = await build({
    entryPoints: [join(where, 'shop.js')],
    outdir: join(where, 'out'),
    bundle: true,
    splitting: true,
    format: 'esm',
    metafile: true,
    logLevel: 'silent',
  });
  return Object.keys(metafile.inputs).filter((name) => name.includes('@refrain')).map((name) => name.split('/').pop()).sort();
};

test('a bundler for browsers takes it without anything of Node', async () => {
  assert.deepEqual(await bundled(), ['client.js', 'index.js', 'plain.js']);
});

test('a bundler that does not know `exports` takes the same', async (t) => {
  const other = await mkdtemp(join(tmpdir(), 'refrain-project-'));
  t.after(() => rm(other, { recursive: true, force: true }));
  const place = join(other, 'node_modules/@refrain/web');
  await cp(join(project, 'node_modules/@refrain/web'), place, { recursive: true });
  const { exports, ...rest } = JSON.parse(await readFile(join(place, 'package.json'), 'utf8'));
  await writeFile(join(place, 'package.json'), JSON.stringify(rest));
  assert.deepEqual(await bundled(other), ['client.js', 'index.js', 'plain.js']);
});

test('the test kit is whole, too', () => {
  const script = `
    import { testPage } from '@refrain/web/testing';
    const page = testPage();
    page.init('T', { defaultConsent: 'granted' }).track('Signed up');
    console.log((await page.expectEvent('Signed up')).event);`;
  assert.equal(run(process.execPath, ['--input-type=module', '--eval', script]), 'Signed up\n');
});

test('Node takes it as it is', async () => {
  const script = `
    import { init } from '@refrain/web';
    const r = init('T', { endpoint: '${await nobody()}' });
    await r.ready;
    await r.optIn();
    console.log(r.track('E'), r.consent().verdict);`;
  assert.equal(run(process.execPath, ['--input-type=module', '--eval', script]), 'accepted allow\n');
});

test('a bundle for Node that has the script alone says what it lacks', async () => {
  const init = `init('T', { endpoint: '${await nobody()}' }).ready.catch((error) => console.log(error.message));`;
  await writeFile(join(project, 'server.js'), `import { init } from '@refrain/web'; ${init}`);
  for (const [format, outfile, place] of [['cjs', 'server.cjs', 'in this bundle'], ['esm', 'server.mjs', 'at file:']]) {
    const options = { entryPoints: [join(project, 'server.js')], outfile: join(project, 'bundled', outfile), logLevel: 'silent' };
    await build({ ...options, bundle: true, platform: 'node', format });
    const said = run(process.execPath, [join('bundled', outfile)]);
    assert.ok(said.startsWith(`no module ${place}`), said);
    assert.match(said, /: keep the package external, or pass wasm or wasmUrl: /);
  }
});

test('the example does what it says', async (t) => {
  const server = await startServer(t);
  await copyFile(new URL('../../../examples/node/quickstart.mjs', import.meta.url), join(project, 'quickstart.mjs'));
  const said = run(process.execPath, ['quickstart.mjs', server.url]);
  assert.match(said, /before a decision: +held\nafter a yes: +accepted\ndelivered: +\d records\nafter a no: +denied - nothing may be collected/);
  assert.match(said, /all that is left: +\[ '[^']*consent' \]\n$/);
  const { events } = await server.get('/mock/events');
  assert.deepEqual(events.map(({ event }) => event).sort(), ['$identify', '$opt_in', 'Bought', 'Opened the shop']);
});

test('it has its licences with it', () => {
  const [{ files }] = JSON.parse(run('npm', ['pack', '--json', '--dry-run'], PACKAGE));
  const names = files.map(({ path }) => path);
  for (const name of ['dist/LICENSE-APACHE', 'dist/LICENSE-MIT', 'README.md']) assert.ok(names.includes(name), name);
  const kit = ['dist/testing.js', ...['collector', 'index', 'page'].map((name) => `dist/testing/${name}.d.ts`)];
  const types = ['context', 'index', 'types'].map((name) => `dist/${name}.d.ts`);
  assert.deepEqual(names.filter((name) => /test|src|\.ts$/.test(name)).sort(), [...kit, ...types].sort());
});
