// NODE_OPTIONS loads this script into Node programs, to let their keep-alive connections end when the
// instance drains. Until then it only watches a folder, and servers that begin to listen: nothing of
// Node is replaced, and no request passes through this script.
// The syntax is that of Node 8: a program that old must start, even if the drain does nothing for it.
'use strict';

const { basename, dirname } = require('path');

/** A built-in module; an empty object if this Node is too old to have it. */
function builtin(name) {
  try {
    return require(name);
  } catch (error) {
    return {};
  }
}

/** Subscribes with `diagnostics_channel` of Node 18.7 and later; does nothing on an older Node. */
function subscribe(channel, listener) {
  const channels = builtin('diagnostics_channel');
  if (channels.subscribe) {
    channels.subscribe(channel, listener);
  }
}

/** Milliseconds from the beginning of the drain until connections without a request are closed. */
const IDLE = 1000;

/** HTTP/2 sessions that are open, with their servers and ports: a session that ends has none any more. */
const sessions = new Map();

const path = process.env.RSGEN_DRAIN;
if (path && builtin('worker_threads').isMainThread !== false) {
  // Node 20 and later; on an older Node, HTTP/2 sessions end without GOAWAY.
  subscribe('tracing:net.server.listen:asyncStart', ({ server }) => {
    if (server && /^Http2(Secure)?Server$/.test(server.constructor.name)) {
      server.on('session', (session) => {
        sessions.set(session, { server, localPort: session.socket.localPort });
        session.once('close', () => sessions.delete(session));
      });
    }
  });
  watch(2);
}

/** While the machine boots the folder may not exist yet. A program that may not read the
 * folder does not learn of the drain. */
function watch(attempts) {
  try {
    const name = basename(path);
    let drains = false;
    const watcher = require('fs').watch(dirname(path), { persistent: false }, (event, changed) => {
      if (changed === name && !drains) {
        drains = true;
        try {
          drain();
        } catch (error) {
          // A program's handles may be any objects. An error here must not cost the program its last requests.
        }
      } else if (changed === `${name}.shutdown`) {
        // The same event as with PM2, but without an IPC channel, which would keep the program alive.
        watcher.close();
        process.emit('message', 'shutdown');
      }
    });
    watcher.on('error', () => {});
  } catch (error) {
    if (error.code === 'ENOENT' && attempts > 1) {
      setTimeout(watch, IDLE, attempts - 1).unref();
    }
  }
}

function drain() {
  const { Server } = require('http');
  const servers = new Set();
  // Responses from now on say `Connection: close`.
  subscribe('http.server.request.start', ({ response, server }) => {
    servers.add(server);
    response.shouldKeepAlive = false;
  });
  for (const handle of handles()) {
    // https has another class `Server`, which closes connections in the same way.
    const server = handle.server || handle;
    if (server instanceof Server || server.constructor.name === 'Server') {
      servers.add(server);
    }
    // The response in progress says so too, unless its headers were already sent.
    const response = handle.server && handle._httpMessage;
    if (response && !response.headersSent) {
      response.shouldKeepAlive = false;
    }
  }
  // Sends GOAWAY; open streams are not cut.
  sessions.forEach((_, session) => session.close());
  hold(servers);
}

/** Keeps the file open while there are connections that came by the socket of the app: from outside, a connection
 * that waits for its response looks like an idle one. */
function hold(servers) {
  const { closeSync, openSync, readFileSync } = require('fs');
  let held;
  let isOurs;
  try {
    held = openSync(path);
    isOurs = belongs(readFileSync(held, 'utf8'));
  } catch (error) {
    return;
  }
  const start = Date.now();
  const timer = setInterval(() => {
    // A connection that was used a moment ago may have its next request on the way, which is answered first.
    if (Date.now() - start > IDLE) {
      servers.forEach((server) => server.closeIdleConnections && server.closeIdleConnections());
    }
    const isHeld = connections().some((socket) => servers.has(socket.server) && isOurs(socket))
      || Array.from(sessions.values()).some(isOurs);
    if (!isHeld) {
      closeSync(held);
      clearInterval(timer);
    }
  }, 50).unref();
}

/** Tells whether a connection came by one of the sockets that the file lists: a port or a path on each line. A
 * program also has servers for itself, such as the pipe between tsx and its child, whose connections never end.
 * Without a line the sockets are not known, and every server counts. */
function belongs(list) {
  const places = list.split('\n').filter(Boolean);
  const hasPath = places.some((place) => place[0] === '/');
  return (connection) => {
    if (places.length === 0) {
      return true;
    }
    const port = connection.localPort;
    if (port !== undefined) {
      return places.indexOf(String(port)) !== -1;
    }
    // The connection of a pipe has no name, and neither has a server that was given a descriptor.
    const pipe = connection.server._pipeName;
    return pipe ? places.indexOf(pipe) !== -1 : hasPath;
  };
}

function connections() {
  return handles().filter((handle) => handle.server);
}

function handles() {
  return process._getActiveHandles ? process._getActiveHandles() : [];
}
