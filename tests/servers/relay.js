// What relay.py does, on Node's event loop: relay.js ADDRESS [headers].
"use strict";
const http = require("node:http");

const [host, port] = process.argv[2].split(":");
const pass = process.argv[3] === "headers";
const agent = new http.Agent({ keepAlive: true });

function ask(path, headers) {
  return new Promise((resolve, reject) => {
    http.get({ host, port, path, headers, agent }, (response) => {
      response.on("data", () => {});
      response.on("end", resolve);
    }).on("error", reject);
  });
}

const pause = () => new Promise((resolve) => { setTimeout(resolve, Math.random() * 2); });

const server = http.createServer(async (request, response) => {
  const traceparent = request.headers.traceparent;
  const headers = pass && traceparent ? { traceparent } : {};
  for (let number = 0; number < 2; number += 1) {
    await ask(`/b/${request.url.slice(3)}.${number}`, headers);
    await pause();
  }
  response.setHeader("Content-Length", 3);
  response.end("ok\n");
});
server.keepAliveTimeout = 60000;

async function poll() {
  for (let number = 0; ; number += 1) {
    await ask(`/poll/${number}`, {}).catch(() => {});
    await new Promise((resolve) => { setTimeout(resolve, 3); });
  }
}

server.listen(0, "127.0.0.1", 1024, () => {
  console.log(`PORT ${server.address().port}`);
  poll();
});
