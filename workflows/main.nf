// Untried: no Nextflow was at hand. Written for Nextflow 24 (DSL 2).
//
// One run over a folder of slides, its shards as tasks:
//
//   nextflow run workflows/main.nf --slides /share/slides --results /share/results --shards 20 -profile slurm
//
// All tasks write into one run folder on a share, so that nothing is staged in or out, and a task that was killed goes on
// where it was.
params.slides = null
params.results = null
params.shards = 4
params.options = ''

process shard {
    cpus 4
    memory '8 GB'
    errorStrategy 'retry'
    maxRetries 1

    input:
    val number

    output:
    val number

    script:
    """
    OMP_NUM_THREADS=${task.cpus} glomseg segment '${params.slides}' --output '${params.results}' --quiet \
        --shard ${number}/${params.shards} ${params.options}
    """
}

process table {
    input:
    val numbers

    script:
    """
    glomseg segment '${params.slides}' --output '${params.results}' --quiet --workers 0 ${params.options}
    """
}

workflow {
    shard(Channel.of(1..params.shards)) | collect | table
}
