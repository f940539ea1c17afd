// The local Zerobus server as a child process, its admin port, and what it stored.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TABLES = `
tables:
  - pattern: main.interop.*
    columns:
      - {name: id, type: BIGINT, nullable: false}
      - {name: name, type: STRING}
`;

export class LocalServer {
  // Resolves once the server accepts calls; rejects with what it said when it ends instead.
  static async start(binary, options = []) {
    const dir = mkdtempSync(join(tmpdir(), 'penstock-interop-'));
    writeFileSync(join(dir, 'tables.yaml'), TABLES);
    const child = spawn(binary, ['--tables', join(dir, 'tables.yaml'), '--data', join(dir, 'lake'), ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let log = '';
    child.stderr.on('data', (text) => (log += text));
    const ready = await new Promise((resolve, reject) => {
      let out = '';
      child.stdout.on('data', (text) => {
        out += text;
        const line = /^ready grpc=(\S+) admin=(\S+) data=(\S+)$/m.exec(out);
        if (line) resolve(line);
      });
      child.on('error', reject);
      child.on('exit', (code) => reject(new Error(`the local server ended with ${code}: ${log}`)));
    });
    return new LocalServer(child, dir, ready);
  }

  constructor(child, dir, [, grpc, admin, data]) {
    Object.assign(this, { child, dir, data, port: grpc.split(':').at(-1), workspace: `http://${admin}` });
  }

  async order(path) {
    const reply = await fetch(`${this.workspace}${path}`, { method: 'POST' });
    if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
  }

  query(sql) {
    const text = execFileSync('sqlite3', [join(this.data, 'lakehouse.db'), sql]);
    return text.toString().split('\n').filter(Boolean);
  }

  // The ids stored in a table, repeats included.
  ids(table) {
    return this.query(`SELECT id FROM "${table}" ORDER BY id`).map(Number);
  }

  // How many rows of a table came by each stream, in the order of their beginning.
  rowsPerStream(table) {
    return this.query(`SELECT count(*) FROM "${table}" GROUP BY _stream_id ORDER BY min(rowid)`).map(Number);
  }

  async stop() {
    const ended = new Promise((resolve) => this.child.on('exit', resolve));
    this.child.kill('SIGTERM');
    await ended;
    rmSync(this.dir, { recursive: true });
  }
}
