!> Sends the data sets of a few ranks as often as a line of input says: arguments are the tile's extents
!! and the first and the last rank.
program stream
  use, intrinsic :: iso_fortran_env, only: error_unit, output_unit, real64
  use parslflow_client, only: PF_OK, store_client, store_dataset
  implicit none
  character(len=14), parameter :: names(4) = &
    [character(len=14) :: 'KE_vert_sum', 'RV_vert_avg', 'slope_vert_avg', 'Rd_dx']
  character(len=10), parameter :: integers(10) = &
    [character(len=10) :: 'idg_offset', 'jdg_offset', 'isc', 'iec', 'jsc', 'jec', 'ieg', 'jeg', 'rank', 'ranks']
  type(store_client) :: store
  type(store_dataset) :: tile
  real(real64), allocatable :: fields(:, :, :)
  character(len=40) :: text
  integer :: bounds(4), end, error, i, n, rank, time, times

  do i = 1, 4
    call get_command_argument(i, text)
    read (text, *) bounds(i)
  end do
  allocate (fields(bounds(1), bounds(2), 4))
  call random_number(fields)
  error = store%connect()
  do while (error == PF_OK)
    read (*, *, iostat=end) times
    if (end /= 0) exit
    do time = 1, times
      do rank = bounds(3), bounds(4)
        write (text, '("high_",i7.7,".00000_",i6.6)') time, rank
        error = tile%initialize(text)
        do n = 1, size(names)
          if (error == PF_OK) error = tile%add_tensor(names(n), fields(:, :, n))
        end do
        do n = 1, size(integers)
          if (error == PF_OK) error = tile%add_metadata(integers(n), rank)
        end do
        if (error == PF_OK) error = tile%add_metadata('day', real(time, real64))
        if (error == PF_OK) error = tile%add_metadata('run', 'high')
        if (error == PF_OK) error = store%put_dataset_to_list('tiles', tile)
      end do
    end do
    print *, times
    flush (output_unit)
  end do
  if (error /= PF_OK) write (error_unit, '(2a)') store%message(), tile%message()
  call tile%free()
  error = store%disconnect()
end program stream
