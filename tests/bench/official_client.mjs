// The official client for so long at full speed: documents of 1 KB in batches of 250, as many as the agent's batch of
// 256 KB holds. Prints what it cost.
// Usage: node official_client.mjs NODE-MODULES-DIR ENDPOINT SECONDS
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [modules, endpoint, seconds] = process.argv.slice(2);
const { RecordType, ZerobusSdk } = createRequire(join(modules, 'x.js'))('@databricks/zerobus-ingest-sdk-linux-x64-gnu');

const BATCH = 250;
const BATCHES = 16;
const PENDING = 4; // calls; more only wait in Node

function document(seq) {
  let text = `{"ts":${1732219471123 + seq * 7},"dev":"gw-${seq % 24}","site":"plant7","seq":${seq}`;
  for (let i = 0; text.length < 980; ++i) text += `,"temp_${i}":${(40 + Math.random() * 20).toFixed(3)}`;
  return (text + '}').padEnd(1024);
}

const batches = Array.from({ length: BATCHES }, (_, b) => Array.from({ length: BATCH }, (_, i) => document(b * BATCH + i)));
const headers = [
  ['authorization', 'Bearer bench-token'],
  ['x-databricks-zerobus-table-name', 'main.bench.t'],
];
const sdk = new ZerobusSdk(endpoint, 'http://127.0.0.1:1');
const stream = await sdk.createStream(
  { tableName: 'main.bench.t' },
  'client',
  'secret',
  { recordType: RecordType.Json, recovery: false, maxInflightRequests: 16 }, // 4 MB
  { getHeadersCallback: () => headers },
);

const started = process.hrtime.bigint();
const cpu = process.cpuUsage();
const elapsed = () => Number(process.hrtime.bigint() - started) / 1e9;
let calls = 0;
let pending = [];
while (elapsed() < Number(seconds)) {
  pending.push(stream.ingestRecordsOffset(batches[calls++ % BATCHES]));
  if (pending.length < PENDING) continue;
  await Promise.all(pending);
  pending = [];
}
await Promise.all(pending);
await stream.flush();
const used = process.cpuUsage(cpu);
console.log(`result ${calls * BATCH} ${(used.user + used.system) / 1e6} ${elapsed()}`);
await stream.close();
process.exit(0);
