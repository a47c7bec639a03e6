// The test contract (see app.py) on Node's http module.
"use strict";
const http = require("node:http");

const server = http.createServer((request, response) => {
  let size = 0;
  request.on("data", (piece) => { size += piece.length; });
  request.on("error", () => {});
  request.on("end", () => {
    const parts = request.url.split("?")[0].split("/").slice(1);
    const numbers = parts.slice(1).map(Number);
    switch (parts[0]) {
      case "status":
        response.statusCode = numbers[0];
        response.end(numbers[0] === 204 || numbers[0] === 304 ? undefined : "status\n");
        break;
      case "bytes":
        response.setHeader("Content-Length", numbers[0]);
        response.end(Buffer.alloc(numbers[0]));
        break;
      case "chunked":
        for (let count = 0; count < numbers[0]; count += 1) {
          response.write(Buffer.alloc(numbers[1], "c"));
        }
        response.end();
        break;
      case "sleep":
        setTimeout(() => response.end("slept\n"), numbers[0]);
        break;
      default: {
        const body = `${size}\n`;
        response.setHeader("Content-Length", body.length);
        response.end(body);
      }
    }
  });
});
server.keepAliveTimeout = 60000;
server.listen(0, "127.0.0.1", 1024, () => console.log(`PORT ${server.address().port}`));
