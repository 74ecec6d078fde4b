import type { ForgeConfig } from '@electron-forge/shared-types';

const config: ForgeConfig = {
  packagerConfig: { asar: { unpack: '**/*.node' } },
  // The addon is built for Node-API, which is the same in Electron: there is nothing to rebuild.
  rebuildConfig: { onlyModules: [] },
  makers: [{ name: '@electron-forge/maker-zip', config: {}, platforms: ['darwin', 'linux', 'win32'] }],
};

export default config;
