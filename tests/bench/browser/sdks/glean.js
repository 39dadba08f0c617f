// A hundred events in a request; by default each is one.
import Glean, { BrowserSendBeaconFallbackUploader } from '@mozilla/glean/web';
import EventMetricType from '@mozilla/glean/private/metrics/event';
import { properties } from '../properties.mjs';

const viewed = new EventMetricType(
  { category: 'bench', name: 'viewed', sendInPings: ['events'], lifetime: 'ping', disabled: false },
  Object.keys(properties(0)),
);
// It takes https addresses only.
const httpClient = {
  supportsCustomHeaders: () => BrowserSendBeaconFallbackUploader.supportsCustomHeaders(),
  post: (url, ping) => BrowserSendBeaconFallbackUploader.post(url.replace('https:', 'http:'), ping),
};
export const start = (endpoint) =>
  Glean.initialize('bench-app', true, { serverEndpoint: endpoint.replace('http:', 'https:'), httpClient, maxEvents: 100 });
export const track = (_, properties) => viewed.record(properties);
