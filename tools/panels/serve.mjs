// Serves the page, its dashboards (folder DASHBOARDS) and the components' icons on loopback: node serve.mjs PORT
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2', '.woff': 'font/woff', '.ttf': 'font/ttf' };
createServer(async (request, response) => {
  const path = normalize(new URL(request.url, 'http://x').pathname);
  const file = path.startsWith('/dashboards/') ? join(process.env.DASHBOARDS, path.slice('/dashboards/'.length))
    : path.startsWith('/public/') ? join('node_modules/@grafana/ui/dist/public', path.slice('/public/'.length).replace('build/', ''))
    : join('.', path === '/' ? 'index.html' : path);
  if (path === '/favicon.ico') { return response.writeHead(204).end(); }
  try {
    const content = await readFile(file);
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(content);
  } catch { response.writeHead(404).end(); }
}).listen(Number(process.argv[2]), '127.0.0.1');
