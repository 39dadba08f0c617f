import { newTracker, trackSelfDescribingEvent } from '@snowplow/browser-tracker';

export const start = (endpoint) => newTracker('bench', endpoint, { appId: 'bench' });
export const track = (name, data) =>
  trackSelfDescribingEvent({ event: { schema: `iglu:bench/${name}/jsonschema/1-0-0`, data } });
