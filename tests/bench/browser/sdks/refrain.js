import { init } from '/dist/index.js';

let client;
export const start = (endpoint) => (client = init('bench', { endpoint, defaultConsent: 'granted' })).ready;
export const track = (name, properties) => client.track(name, properties);
