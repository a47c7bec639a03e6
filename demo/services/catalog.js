// The shop's products, 1 to 100; others are not found.
'use strict';

const http = require('http');

const PRODUCTS = 100;

const server = http.createServer((request, response) => {
  const answer = (status, body) => {
    response.writeHead(status, {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
    });
    response.end(body);
  };
  request.resume();
  const product = /^\/products\/(\d{1,9})$/.exec(request.url);
  if (request.method !== 'GET') {
    answer(405, '{"error":"only GET"}\n');
  } else if (request.url === '/products') {
    answer(200, JSON.stringify(Array.from({ length: PRODUCTS }, (_, index) => index + 1)) + '\n');
  } else if (product && Number(product[1]) >= 1 && Number(product[1]) <= PRODUCTS) {
    answer(200, JSON.stringify({ product: Number(product[1]) }) + '\n');
  } else {
    answer(404, '{"error":"no such product"}\n');
  }
});

server.listen(0, '127.0.0.1', () => {
  console.log(`listening ${server.address().port}`);
});
