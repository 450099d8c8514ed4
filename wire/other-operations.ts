/**
 * Operations of the original design that rbee does not have. The original's client shows the lines of a job, but not why a job is
 * refused: so these are accepted, and the job fails at once with a sentence on what to do instead.
 */

const MODELS =
  'put a GGUF file on the hive and name its path in worker_spawn, or name it as hf:<user>/<repository>/<file>, which is downloaded then';
const HIVES = 'GET /v1/hives and rbee hives show the hives, which are found and refreshed by themselves';
const MACHINES = 'start and stop rbee hive on that machine itself, as a service of its system';
const BUILDS = 'workers are part of rbee on each hive: worker_spawn starts one';
const ACTIVE = 'GET /v1/workers and rbee workers show the workers, worker_process_delete ends one';
const PACKAGES = 'install rbee on each machine with its own package manager';
const SCRIPTS = 'rbee runs no scripts: send requests to /v1/chat/completions';

const named = (names: string, instead: string): [string, string][] => names.split(' ').map((name) => [name, instead]);

const INSTEAD = new Map([
  ...named('model_download model_list model_get model_delete model_load model_unload', MODELS),
  ...named('hive_list hive_get hive_status hive_refresh_capabilities hive_import_ssh hive_check', HIVES),
  ...named('hive_create hive_update hive_delete hive_install hive_uninstall hive_rebuild', MACHINES),
  ...named('hive_start hive_stop ssh_test queen_check', MACHINES),
  ...named('worker_download worker_build worker_binary_list worker_binary_get worker_binary_delete', BUILDS),
  ...named('worker_catalog_list worker_catalog_get worker_list_available worker_install worker_remove', BUILDS),
  ...named('worker_list_installed worker_installed_list worker_installed_get', BUILDS),
  ...named('active_worker_list active_worker_get active_worker_retire worker_list worker_get worker_stop', ACTIVE),
  ...named('package_sync package_status package_install package_uninstall package_list package_validate', PACKAGES),
  ...named('package_migrate', PACKAGES),
  ...named('rhai_script_save rhai_script_test rhai_script_get rhai_script_list rhai_script_delete', SCRIPTS),
]);

export const isOtherOperation = (operation: string): boolean => INSTEAD.has(operation);

/** Why a job of this operation fails. */
export const otherOperation = (name: string): string => `rbee has no operation ${name}: ${INSTEAD.get(name)}`;
