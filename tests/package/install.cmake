# Install umas to a new prefix, build use/ against it and run that; then move the prefix and run what
# is in it, because nothing installed may depend on where it was.

function(run)
    execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE "${WORK}/prefix" "${WORK}/moved" "${WORK}/use")
run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${WORK}/prefix")
run("${CMAKE_COMMAND}" -S "${SOURCE}" -B "${WORK}/use" -G "${GENERATOR}"
    "-DCMAKE_C_COMPILER=${COMPILER}" "-DCMAKE_PREFIX_PATH=${WORK}/prefix")
run("${CMAKE_COMMAND}" --build "${WORK}/use")
run("${WORK}/use/use_umas")

file(RENAME "${WORK}/prefix" "${WORK}/moved")
run("${WORK}/moved/bin/umas-info" --help)
run("${WORK}/moved/bin/umas-convert" --help)
run("${WORK}/moved/bin/umas-random-model" --help)

file(GLOB_RECURSE plugin "${WORK}/moved/*/umasplugin.so")
file(WRITE "${WORK}/in.load" "plugin load ${plugin}\npair_style umas task omat\n")
run("${LMP}" -in "${WORK}/in.load" -log none)
