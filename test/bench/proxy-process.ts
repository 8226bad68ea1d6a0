import { serveParent, usage } from './child.ts';
import { PartProfiler } from './part-profiler.ts';
import { type ServedProxy, type ServeOptions, serveProxy } from './served-proxy.ts';

if (import.meta.main) {
  const served: Promise<ServedProxy> = serveProxy(JSON.parse(process.argv[2]!) as ServeOptions);
  let closed: Promise<number> | undefined;
  const close = (): Promise<number> => {
    closed ??= served.then((proxy) => proxy.close());
    return closed;
  };
  const profiler = new PartProfiler();
  serveParent(
    {
      ports: async () => {
        const { port, metricsPort, upstreamPort } = await served;
        return { port, metricsPort, upstreamPort };
      },
      newBlock: async () => (await served).newBlock(),
      newJob: async () => (await served).newJob(),
      usage,
      startProfile: () => profiler.start(),
      stopProfile: () => profiler.stop(),
      close,
    },
    async () => void (await close()),
  );
}
