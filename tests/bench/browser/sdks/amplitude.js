import * as amplitude from '@amplitude/analytics-browser';

export const start = (endpoint) =>
  amplitude.init('bench', undefined, { serverUrl: endpoint + '/2/httpapi', remoteConfig: { serverUrl: endpoint + '/config' } }).promise;
export const track = (name, properties) => amplitude.track(name, properties);
