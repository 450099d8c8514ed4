/** The page of the swarm. */
import './style/base.css';
import './style/parts.css';
import './style/screens.css';
import { render } from 'preact';
import { App } from './app.js';
import { startLink } from './data/link.js';
import { startFocus } from './parts/focus.js';
import { startKeys } from './parts/keys.js';
import { startTheme } from './parts/theme.js';
import { startRoutes } from './route.js';

startTheme();
startRoutes();
startKeys();
startFocus();
startLink();
render(<App />, document.getElementById('app') as HTMLElement);
