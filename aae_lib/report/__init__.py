"""Reports: from weights and evidence to pictures, tables and README.

    drawing     how planes, images and maps are drawn, the same in figures, notebooks and the explorer
    diagrams    what flows where in each system
    baselines   other methods on the same images; they take minutes, so their results are recorded
    results     a row for each experiment, seed and metric, and what follows from the rows
    tables      the rows as Markdown tables, and the files that hold them
    figures     the figures by name
"""
