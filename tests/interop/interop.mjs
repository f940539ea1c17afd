// The official Zerobus client (Node binding of the Rust SDK) against the local server: where the two disagree, the
// client is right. Usage: node interop.mjs SERVER-BINARY NODE-MODULES-DIR
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalServer } from './local_server.mjs';
import { descriptor, json, proto } from './rows.mjs';

const [binary, modules] = process.argv.slice(2);
const { RecordType, ZerobusSdk } = createRequire(join(modules, 'x.js'))('@databricks/zerobus-ingest-sdk-linux-x64-gnu');
const TOKEN = 'interop-token';

const range = (first, count) => Array.from({ length: count }, (_, i) => first + i);

function expect(condition, what) {
  if (!condition) throw new Error(what);
}

function expectIds(server, table, count, { repeats = false } = {}) {
  const ids = server.ids(table);
  const unique = new Set(ids);
  expect(unique.size === count && unique.has(0) && unique.has(count - 1), `${unique.size} of ${count} rows landed`);
  expect(repeats || ids.length === count, `${ids.length - count} rows landed twice`);
}

function expectStreams(server, table, count) {
  const rows = server.rowsPerStream(table);
  expect(rows.length === count, `rows came by ${rows.length} streams, not ${count}: ${rows}`);
  return rows;
}

function open(server, table, { encoding = 'json', scheme = 'http', host = '127.0.0.1', headers, options } = {}) {
  const sdk = new ZerobusSdk(`${scheme}://${host}:${server.port}`, server.workspace);
  const asProto = encoding === 'proto';
  const properties = { tableName: table, ...(asProto && { descriptorProto: descriptor }) };
  return sdk.createStream(
    properties,
    'client',
    'secret',
    { recordType: asProto ? RecordType.Proto : RecordType.Json, recovery: true, ...options },
    headers && { getHeadersCallback: () => headers },
  );
}

async function sendSingleAndBatch(server, table, encoding) {
  const row = encoding === 'proto' ? proto : json;
  const stream = await open(server, table, { encoding });
  for (const id of range(0, 50)) await stream.ingestRecordOffset(row(id));
  for (const batch of range(0, 5)) await stream.ingestRecordsOffset(range(50 + batch * 10, 10).map(row));
  await stream.flush();
  expectIds(server, table, 100);
  await stream.close();
}

const checks = {
  'JSON: create, single records, batches, flush, close': (server) =>
    sendSingleAndBatch(server, 'main.interop.json', 'json'),

  'protobuf: create with a descriptor, single records, batches, flush, close': (server) =>
    sendSingleAndBatch(server, 'main.interop.proto', 'proto'),

  'close signal: the client moves to a new stream and nothing is lost': async (server) => {
    const table = 'main.interop.signal';
    const stream = await open(server, table);
    await server.order('/faults/slow-acks?ms=500');
    for (const id of range(0, 20)) await stream.ingestRecordOffset(json(id));
    // The server ends the stream long after this check, so the signal alone can make the client open another. One that
    // it does not understand does that too, but then it does not wait for what is on its way and sends that again.
    await server.order(`/faults/close-signal?seconds=60&table=${table}`);
    for (const id of range(20, 180)) {
      await stream.ingestRecordOffset(json(id));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await stream.flush();
    expectIds(server, table, 200);
    expectStreams(server, table, 2);
    await server.order('/faults/clear');
    await stream.close();
  },

  'dropped stream (UNAVAILABLE): the client sends again what was not acknowledged': async (server) => {
    const table = 'main.interop.drop';
    const stream = await open(server, table, { options: { recoveryBackoffMs: 50 } });
    await server.order(`/faults/drop?status=UNAVAILABLE&after=30&table=${table}`);
    for (const id of range(0, 100)) await stream.ingestRecordOffset(json(id));
    await stream.flush();
    expectIds(server, table, 100, { repeats: true });
    const [first] = expectStreams(server, table, 2);
    expect(first === 30, `the stream was to be dropped after 30 rows, and took ${first}`);
    await stream.close();
  },

  'rejected record: INVALID_ARGUMENT is final for the client, rows before it are stored': async (server) => {
    const table = 'main.interop.reject';
    const stream = await open(server, table);
    for (const id of range(0, 10)) await stream.ingestRecordOffset(json(id));
    await stream.flush();
    let error;
    try {
      await stream.ingestRecordOffset('{"id": "not a number"}');
      await stream.flush();
    } catch (caught) {
      error = caught;
    }
    expect(error && /main\.interop\.reject|id/.test(error.message), `unexpected: ${error?.message}`);
    expectIds(server, table, 10);
  },

  'OAuth: a token the workspace did not give is refused': async (server) => {
    const headers = [
      ['authorization', 'Bearer forged'],
      ['x-databricks-zerobus-table-name', 'main.interop.json'],
    ];
    let error;
    try {
      await open(server, 'main.interop.json', { headers, options: { recovery: false } });
    } catch (caught) {
      error = caught;
    }
    expect(error && /valid authentication credentials|unauthenticated/i.test(error.message), `unexpected: ${error?.message}`);
  },
};

async function runAll(server, list) {
  let failed = 0;
  for (const [name, check] of Object.entries(list)) {
    try {
      await check(server);
      console.log(`ok      ${name}`);
    } catch (error) {
      ++failed;
      console.log(`FAILED  ${name}\n        ${error.message}`);
    }
  }
  return failed;
}

// The client takes its authorities from SSL_CERT_FILE when it is loaded, so the TLS check is a process of its own.
async function overTls() {
  const dir = mkdtempSync(join(tmpdir(), 'penstock-interop-'));
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, '-addext',
    'basicConstraints=critical,CA:FALSE', '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const server = await LocalServer.start(binary, ['--token', TOKEN, '--tls-cert', cert, '--tls-key', key]);
  try {
    execFileSync(process.execPath, [process.argv[1], binary, modules, 'tls', server.port, server.workspace], {
      env: { ...process.env, SSL_CERT_FILE: cert },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    expectIds(server, 'main.interop.tls', 100);
  } finally {
    await server.stop();
    rmSync(dir, { recursive: true });
  }
}

if (process.argv[4] === 'tls') {
  const [port, workspace] = process.argv.slice(5);
  const stream = await open({ port, workspace }, 'main.interop.tls', { scheme: 'https', host: 'localhost' });
  await stream.ingestRecordsOffset(range(0, 100).map(json));
  await stream.flush();
  await stream.close();
  process.exit(0);
}
// Tokens come only on exactly the documented request, which is to be the client's own.
const server = await LocalServer.start(binary, ['--client', 'client:secret']);
let failed = await runAll(server, checks);
await server.stop();
failed += await runAll(null, { 'TLS: own authority, ALPN h2, batches': overTls });
console.log(`${Object.keys(checks).length + 1 - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
