// Graphile Worker at its best on one machine: local queue, batched completion. Started by `cargo dev bench --peer`.
// Speaks lines, as our own worker under test does: "ready", then on a line of input works until its queue is empty.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.argv[2]);
const { makeWorkerUtils, run, Logger } = require("graphile-worker");
const { Pool } = require("pg");
const [connectionString, jobs] = [process.argv[3], Number(process.argv[4])];
const logger = new Logger(() => (level, message) => level === "error" && console.error(message));

const utils = await makeWorkerUtils({ connectionString, logger });
await utils.migrate();
const pool = new Pool({ connectionString, max: 2 });
for (let done = 0; done < jobs; done += 1000) {
  const batch = Array.from({ length: Math.min(1000, jobs - done) }, (_, n) => ({
    identifier: "noop",
    payload: { n: done + n },
  }));
  await utils.addJobs(batch);
}
await pool.query("analyze");
console.log("ready");

const input = createInterface({ input: process.stdin });
input.on("close", () => process.exit(0));
input.once("line", async () => {
  let [started, executed] = [0n, 0];
  const runner = await run({
    preset: {
      worker: {
        connectionString,
        concurrentJobs: 24,
        maxPoolSize: 25,
        localQueue: { size: 5000 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
        logger,
      },
    },
    taskList: {
      noop: async () => {
        if (executed === 0) started = process.hrtime.bigint();
        executed += 1;
      },
    },
  });
  const look = async () => {
    // Only once all have run: looking costs the database something, too.
    if (executed >= jobs) {
      const { rows } = await pool.query("select exists(select from graphile_worker._private_jobs) as any");
      if (!rows[0].any) {
        const seconds = Number(process.hrtime.bigint() - started) / 1e9;
        console.log(`drained ${seconds}`);
        await runner.stop();
        process.exit(0);
      }
    }
    setTimeout(look, 1);
  };
  await look();
});
