// Drives bfl-api, as a library. Prints what came of each call as a line of JSON.
// Key, authority and proxy come from the environment; the host is the client's own https://api.bfl.ai.
import { readFileSync } from 'node:fs';
import { BflAPI } from 'bfl-api';
import { downloadImage, fileToBase64, imageToBase64, pause, setLogLevel } from 'bfl-api/utils';

const [, , finetune, imagePath, maskPath, outPath] = process.argv;
setLogLevel('error');
const api = new BflAPI({ logLevel: 'NONE' });
const image = await fileToBase64(imagePath);
const mask = await imageToBase64(maskPath);

async function report(call, make) {
  try {
    console.log(JSON.stringify({ call, ...(await make()) }));
  } catch (error) {
    console.log(JSON.stringify({ call, error: error.message }));
  }
}

// The size of a PNG, or of a JPEG by its first frame header.
function sizeOf(bytes) {
  if (bytes.subarray(1, 4).toString() === 'PNG') return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  let at = 2;
  while (bytes[at + 1] < 0xc0 || bytes[at + 1] > 0xc2) at += 2 + bytes.readUInt16BE(at + 2);
  return [bytes.readUInt16BE(at + 7), bytes.readUInt16BE(at + 5)];
}

async function drawn(submitted) {
  const task = await submitted;
  const done = await api.waitForResult(task.id, {
    pollingUrl: task.polling_url,
    pollInterval: 0.2,
    showSpinner: false,
  });
  await downloadImage(done.result.sample, outPath);
  const bytes = readFileSync(outPath);
  const format = bytes.subarray(1, 4).toString() === 'PNG' ? 'PNG' : 'JPEG';
  return { size: sizeOf(bytes), format, seed: done.result.seed };
}

const apple = { prompt: 'a red apple' };
const small = { ...apple, width: 256, height: 256, output_format: 'png' };
const calls = {
  dev: () => api.generateFluxDev({ ...small, steps: 5, guidance: 3, seed: 7 }),
  pro: () => api.generateFluxPro({ ...small, height: 288, safety_tolerance: 6, prompt_upsampling: true }),
  ultra: () => api.generateFluxProUltra({ ...apple, aspect_ratio: '1:1', seed: 5 }),
  fill: () => api.generateFluxProFill({ ...apple, image, mask, steps: 15, guidance: 60 }),
  'fill finetuned': () =>
    api.generateFluxProFillFinetuned({ ...apple, finetune_id: finetune, finetune_strength: 1, image, mask, steps: 15 }),
  expand: () => api.generateFluxProExpand({ ...apple, image, left: 64, output_format: 'png' }),
  'kontext pro': () => api.generateKontextPro({ ...apple, input_image: image, seed: 3 }),
  'kontext max': () => api.generateKontextMax({ ...apple, input_image: image, output_format: 'jpeg' }),
  'flux 2 pro': () => api.generateFlux2Pro(small),
  'flux 2 flex': () => api.generateFlux2Flex({ ...small, input_image: image }),
  'two references': () => api.generateFlux2Pro({ ...small, input_image: image, input_image_2: image }),
  raw: () => api.generateFluxProUltra({ ...apple, raw: true }),
  size: () => api.generateFluxDev({ ...small, width: 100 }),
};
for (const [call, submit] of Object.entries(calls)) await report(call, () => drawn(submit()));

const started = await api.generateFluxDev(small);
await report('without its URL', () => drawn({ id: started.id }));
await report('status', async () => ({ status: (await api.getResult(started.id)).status }));
const moderated = await api.generateFluxDev({ ...small, prompt: 'gore' });
await report('moderated', async () => {
  for (;;) { // its own waiting goes on through this end
    const { status } = await api.getResult(moderated.id, moderated.polling_url);
    if (status !== 'Pending') return { status };
    await pause(0.2);
  }
});
await report('unknown task', async () => ({ status: (await api.getResult('no-such-task')).status }));
await report('finetunes', () => api.getMyFinetunes());
await report('credits', () => api.getUserCredits());
