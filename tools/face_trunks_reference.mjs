// Run face-api's own expression and identity networks on a fixed input and keep samples of what they compute, as the
// reference for tests/model/test_face_pyramid.py.
//
//     npm pack @vladmandic/face-api@1.7.15 && tar xzf vladmandic-face-api-1.7.15.tgz && cp package/dist/face-api.esm.js face-api.mjs
//     node tools/face_trunks_reference.mjs ./face-api.mjs package/model tests/model/data/face_trunks_reference.safetensors
//
// The ES bundle carries TensorFlow.js, whose plain CPU backend needs nothing else.

import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [bundle, models, target] = process.argv.slice(2);
// The bundle is made for browsers: its TensorFlow.js looks for a window with a document before it takes that path.
globalThis.window = globalThis;
globalThis.document = {};
const faceapi = await import(pathToFileURL(resolve(bundle)).href);
const { tf } = faceapi;
await tf.setBackend('cpu');
await tf.ready();

// Every fourth channel, and rows and columns in steps that include the last ones, where the padding shows.
const CHANNEL_STEP = 4;
const NETWORKS = {
  expression: {
    net: new faceapi.FaceExpressionNet(), model: 'face_expression_model', size: 112, output: 'logits',
    run: (net, input) => net.runNet(input),
    // Which of the network's ReLUs ends a level: each dense block has four.
    relus: [3, 7, 11, 15], steps: [5, 3, 1, 1],
  },
  identity: {
    net: new faceapi.FaceRecognitionNet(), model: 'face_recognition_model', size: 150, output: 'descriptor',
    run: (net, input) => net.forwardInput(input),
    // One for the first convolution, then two for each residual layer: 3, 4, 3 and 4 layers a level.
    relus: [6, 14, 20, 28], steps: [2, 2, 1, 1],
  },
};

function loadWeights({ net, model }) {
  const manifest = JSON.parse(readFileSync(`${models}/${model}-weights_manifest.json`, 'utf8'));
  const bytes = readFileSync(`${models}/${model}.bin`);
  const blob = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  net.loadFromWeightMap(tf.io.decodeWeights(blob, manifest[0].weights));
}

// Two RGB images of whole numbers 0 to 255, by a formula that the test repeats.
function fixedInput(size) {
  return [0, 1].map((n) => {
    const values = [];
    for (let y = 0; y < size; y += 1) {
      for (let x = 0; x < size; x += 1) {
        for (let c = 0; c < 3; c += 1) {
          values.push(Math.floor((x * x + 3 * y * y + (5 + 2 * n) * x * y * (c + 1)) / 64) % 256);
        }
      }
    }
    return tf.tensor3d(values, [size, size, 3], 'float32');
  });
}

// (N, H, W, C) to a sample in (N, C, H, W), the layout of PyTorch.
function sample(map, step) {
  return tf.tidy(() => {
    const nchw = tf.transpose(map, [0, 3, 1, 2]).arraySync();
    const every = (list, k) => list.filter((_, index) => index % k === 0);
    return nchw.map((image) => every(image, CHANNEL_STEP).map((plane) => every(plane, step).map((row) => every(row, step))));
  });
}

const tensors = {};
for (const [name, network] of Object.entries(NETWORKS)) {
  loadWeights(network);
  const input = await faceapi.toNetInput(fixedInput(network.size));
  const maps = [];
  let relu = 0;
  const engine = tf.engine();
  const original = engine.runKernel;
  engine.runKernel = function record(kernel, ...rest) {
    const result = original.call(this, kernel, ...rest);
    if (kernel === 'Relu') {
      const level = network.relus.indexOf(relu);
      if (level >= 0) maps.push(sample(result, network.steps[level]));
      relu += 1;
    }
    return result;
  };
  const output = network.run(network.net, input);
  engine.runKernel = original;
  maps.forEach((map, level) => { tensors[`${name}.${level}`] = map; });
  tensors[`${name}.${network.output}`] = output.arraySync();
}

// The safetensors format: the header's length as uint64, the header as JSON, the values.
const header = {};
const chunks = [];
let offset = 0;
for (const [name, nested] of Object.entries(tensors)) {
  const shape = [];
  for (let list = nested; Array.isArray(list); [list] = list) shape.push(list.length);
  const values = Buffer.from(Float32Array.from(nested.flat(Infinity)).buffer);
  header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + values.length] };
  offset += values.length;
  chunks.push(values);
}
const json = Buffer.from(JSON.stringify(header).padEnd(Math.ceil(JSON.stringify(header).length / 8) * 8));
const length = Buffer.alloc(8);
length.writeBigUInt64LE(BigInt(json.length));
writeFileSync(target, Buffer.concat([length, json, ...chunks]));
