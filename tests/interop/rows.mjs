// Rows of the test tables, (id BIGINT NOT NULL, name STRING), in both encodings, and their descriptor.
function varint(value) {
  const bytes = [];
  let rest = BigInt(value);
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest ? low | 0x80 : low);
  } while (rest);
  return bytes;
}

const field = (number, bytes) => [(number << 3) | 2, ...varint(bytes.length), ...bytes];
const text = (value) => [...Buffer.from(value)];

// google.protobuf.FieldDescriptorProto: name 1, number 3, label 4, type 5.
const column = (name, number, label, type) => field(2, [...field(1, text(name)), 0x18, number, 0x20, label, 0x28, type]);
const REQUIRED = 2;
const OPTIONAL = 1;
const INT64 = 3;
const STRING = 9;

export const descriptor = Buffer.from([
  ...field(1, text('Row')),
  ...column('id', 1, REQUIRED, INT64),
  ...column('name', 2, OPTIONAL, STRING),
]).toString('base64');

export const json = (id) => JSON.stringify({ id, name: `row ${id}` });
export const proto = (id) => Buffer.from([0x08, ...varint(id), ...field(2, text(`row ${id}`))]);
