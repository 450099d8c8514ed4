/** AMD GPUs, from the files of the kernel's amdgpu driver in sysfs (kernel.org, "amdgpu: GPU power/thermal controls"). */
import { readdir, readFile, realpath } from 'node:fs/promises';
import path from 'node:path';
import { oneDecimal, sentence, type VendorGpu, vramGb, type WatchVendor } from './vendor.js';

const AMD_PCI_VENDOR = '0x1002';
/** A card that is plugged in (Thunderbolt) or unbound from its driver is noticed within this long. */
const DETECT_EVERY_MS = 30_000;
const MIB = 1024 ** 2;

interface Card {
  /** The device's own folder: `card0` may be another card after a replug. */
  folder: string;
  name: string;
  /** The folder of its sensors, whose number changes with each boot; undefined when it has none. */
  hwmon: string | undefined;
}

/** Watches the AMD cards in `<sysfsRoot>/class/drm`. No folder there means no GPUs, and is no error. */
export const watchAmd: WatchVendor = ({ intervalMs, onReading, sysfsRoot }) => {
  if (sysfsRoot === undefined) {
    const once = setImmediate(() => onReading({ gpus: [], errors: [] }));
    return () => clearImmediate(once);
  }
  let cards: Card[] = [];
  let detectedMs = Number.NEGATIVE_INFINITY;
  let collecting = false;
  let reported: number | undefined;
  let stopped = false;

  const collect = async () => {
    if (collecting) return;
    collecting = true;
    const errors: string[] = [];
    try {
      if (performance.now() - detectedMs >= DETECT_EVERY_MS) {
        cards = await detectCards(path.join(sysfsRoot, 'class', 'drm'));
        detectedMs = performance.now();
      }
    } catch (error) {
      errors.push(`AMD GPUs cannot be listed: ${sentence(error)}.`);
    }
    const gpus = await Promise.all(cards.map((card) => measureCard(card, errors)));
    collecting = false;
    // A machine without AMD cards reports that once, not each second.
    const count = gpus.length + errors.length;
    if (!stopped && (count > 0 || reported !== 0)) onReading({ gpus, errors });
    reported = count;
  };
  const timer = setInterval(collect, intervalMs).unref();
  void collect();

  return () => {
    stopped = true;
    clearInterval(timer);
  };
};

async function detectCards(drm: string): Promise<Card[]> {
  // card0-DP-1 and its like are connectors.
  const names = (await listFolder(drm)).filter((name) => /^card\d+$/.test(name));
  names.sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)));
  const cards: Card[] = [];
  for (const name of names) {
    const link = path.join(drm, name, 'device');
    if ((await readText(path.join(link, 'vendor')).catch(() => null)) !== AMD_PCI_VENDOR) continue;
    const folder = await realpath(link);
    const product = await readText(path.join(folder, 'product_name')).catch(() => null);
    const deviceId = await readText(path.join(folder, 'device')).catch(() => null);
    const sensors = (await listFolder(path.join(folder, 'hwmon'))).filter((entry) => /^hwmon\d+$/.test(entry)).sort();
    cards.push({
      folder,
      name: product || `AMD GPU (${deviceId ?? 'unknown model'})`,
      hwmon: sensors[0] && path.join(folder, 'hwmon', sensors[0]),
    });
  }
  return cards;
}

async function measureCard({ folder, name, hwmon }: Card, errors: string[]): Promise<VendorGpu> {
  const read = async (file: string | undefined, perUnit: number): Promise<number | null> => {
    if (file === undefined) return null;
    try {
      const text = await readText(file);
      if (text === null) return null;
      if (!/^\d+$/.test(text)) throw new Error(`"${text.slice(0, 32)}" is no number`);
      return Number(text) / perUnit;
    } catch (error) {
      errors.push(`${path.basename(file)} of ${name} cannot be read: ${sentence(error)}.`);
      return null;
    }
  };
  const file = (entry: string) => path.join(folder, entry);
  const sensor = (entry: string) => hwmon && path.join(hwmon, entry);
  // Reading the utilisation of a suspended card would wake it: a laptop's second GPU would never sleep.
  const asleep = (await readText(file('power/runtime_status')).catch(() => null)) === 'suspended';
  const whenAwake = (path: string | undefined, perUnit: number) => (asleep ? null : read(path, perUnit));
  const [util, used, total, temp, average] = await Promise.all([
    whenAwake(file('gpu_busy_percent'), 1),
    read(file('mem_info_vram_used'), MIB),
    read(file('mem_info_vram_total'), MIB),
    whenAwake(sensor('temp1_input'), 1000),
    whenAwake(sensor('power1_average'), 1e6),
  ]);
  // Newer cards have only the current power.
  const power = average ?? (await whenAwake(sensor('power1_input'), 1e6));
  return {
    key: folder,
    gpu: {
      name,
      util_pct: util,
      vram_used_mb: used === null ? null : Math.round(used),
      vram_total_mb: total === null ? null : Math.round(total),
      temp_c: temp === null ? null : oneDecimal(temp),
      power_w: power === null ? null : oneDecimal(power),
      measured_at: new Date().toISOString(),
    },
    device: { name, device_type: 'rocm', vram_gb: vramGb(total), compute_capability: null },
  };
}

/** The text of a file, or null when the kernel does not offer it for this card. */
async function readText(file: string): Promise<string | null> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

/** ENODEV: the card went away between the listing and the read. EOPNOTSUPP: the sensor exists on other models only. */
function isAbsent(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return ['ENOENT', 'ENOTDIR', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP'].includes(code);
}
