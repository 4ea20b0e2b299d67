// Drives Vercel's AI SDK with its provider for BFL. Prints what came of each call as a line of JSON.
import { createBlackForestLabs } from '@ai-sdk/black-forest-labs';
import { experimental_generateImage as generateImage } from 'ai';

const bfl = createBlackForestLabs({
  apiKey: '0123456789abcdef',
  baseURL: `${process.argv[2]}/v1`,
  pollIntervalMillis: 200,
});

const sizeOf = (png) => [png.readUInt32BE(16), png.readUInt32BE(20)];

async function report(call, options) {
  try {
    const made = await generateImage({ maxRetries: 0, ...options });
    const bytes = Buffer.from(made.image.uint8Array);
    const isPng = bytes.subarray(1, 4).toString() === 'PNG';
    const told = made.providerMetadata?.blackForestLabs?.images?.[0] ?? {};
    console.log(JSON.stringify({ call, size: isPng ? sizeOf(bytes) : null, type: made.image.mediaType, seed: told.seed }));
  } catch (error) {
    console.log(JSON.stringify({ call, error: error.message, body: error.responseBody }));
  }
}

const png = { blackForestLabs: { outputFormat: 'png', width: 256, height: 256 } };
await report('pro', { model: bfl.image('flux-pro-1.1'), prompt: 'a red apple', seed: 7, providerOptions: png });
await report('kontext', {
  model: bfl.image('flux-kontext-pro'),
  prompt: 'a pear',
  aspectRatio: '1:1',
  providerOptions: { blackForestLabs: { outputFormat: 'png' } },
});
await report('jpeg', { model: bfl.image('flux-dev'), prompt: 'a pear', seed: 3, providerOptions: { blackForestLabs: { width: 256, height: 256, steps: 3 } } });
await report('refused', { model: bfl.image('flux-pro-1.0-fill'), prompt: 'a pear' });
await report('nowhere', { model: bfl.image('flux-pro-9'), prompt: 'a pear' });
