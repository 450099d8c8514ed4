/** A device that a worker can run on: a GPU or the CPU. */
import { type Static, Type } from '@sinclair/typebox';
import { Measure, nullable } from './status.js';

export const Device = Type.Object({
  id: Type.String({ maxLength: 64 }),
  name: Type.String({ maxLength: 256 }),
  device_type: Type.String({ maxLength: 32, description: 'cuda, rocm, metal or cpu' }),
  vram_gb: Measure,
  compute_capability: nullable(Type.String({ maxLength: 32 })),
});
export type Device = Static<typeof Device>;
